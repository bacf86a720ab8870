/** -v: what a command does, said on stderr while it does it. */
import { note } from "./answer.ts";
import type { Cli } from "./cli.ts";

const levels = new WeakMap<Cli, number>();
const last = new WeakMap<Cli, string>();

/** How often -v was given. */
export function verbosityOf(cli: Cli): number {
  return levels.get(cli) ?? 0;
}

export function setVerbosity(cli: Cli, count: number): void {
  levels.set(cli, count);
}

/** Says it once where it is done again and again, as a daemon that starts is asked until it answers. */
export async function trace(cli: Cli, text: string): Promise<void> {
  if (verbosityOf(cli) === 0 || last.get(cli) === text) return;
  last.set(cli, text);
  await note(cli, `mx-agent: ${text}`);
}
