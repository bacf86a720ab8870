/** Says on a terminal that something goes on, once it has taken a second; gone without a trace when it is done. */
import type { Cli } from "./cli.ts";
import { columnsOf, cut } from "./render/screen.ts";

const EVERY_MS = 1000;
const CLEAR_LINE = "\r\u001b[K";

/** Whose line is on the screen: one at a time. */
const shown = new WeakSet<Cli>();

export interface Progress {
  /** Takes the line away; more than once does nothing. */
  stop(): void;
}

/** Counts the seconds of `what`, as `starting the daemon (3 s)`; nothing where no person sees it. */
export function startProgress(cli: Cli, what: string): Progress {
  if (cli.stderr.isTTY !== true || cli.env.TERM === "dumb" || shown.has(cli)) return { stop: () => {} };
  shown.add(cli);
  let seconds = 0;
  const timer = setInterval(() => {
    seconds++;
    cli.stderr.write(`${CLEAR_LINE}${cut(`${what} (${seconds} s)`, columnsOf(cli.stderr) - 1)}`);
  }, EVERY_MS);
  timer.unref();
  return {
    stop() {
      clearInterval(timer);
      if (shown.delete(cli) && seconds > 0) cli.stderr.write(CLEAR_LINE);
    },
  };
}

/** The work itself, with its progress. */
export async function withProgress<T>(cli: Cli, what: string, work: Promise<T>): Promise<T> {
  const progress = startProgress(cli, what);
  try {
    return await work;
  } finally {
    progress.stop();
  }
}
