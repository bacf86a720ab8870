/** The world of one command: what it reads, where it writes, and how it ends. */
import type { Readable, Writable } from "node:stream";
import { version } from "@mx-agent/base";

export interface Terminal {
  /** Whether a person sees it. */
  isTTY?: boolean;
  columns?: number;
}

export interface Cli {
  stdin: Readable & Terminal & { setRawMode?(on: boolean): unknown };
  /** The answer, and nothing else. */
  stdout: Writable & Terminal;
  stderr: Writable & Terminal;
  env: NodeJS.ProcessEnv;
  /** Of mx-agent. */
  version: string;
  /** The program file that runs now, to start it again in the background. */
  entry: string;
  /** Calls back on each SIGINT, SIGTERM and SIGHUP until the returned function is called. */
  onSignal(listener: (signal: NodeJS.Signals) => void): () => void;
}

/** How a command ended that did not fail: its exit status. */
export type ExitCode = number;

/** The real one. */
export function processCli(): Cli {
  return {
    // Making the stream takes longer than most commands do, and few read it.
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    version: version(),
    entry: process.argv[1] ?? "",
    onSignal(listener) {
      const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
      for (const signal of signals) process.on(signal, listener);
      return () => {
        for (const signal of signals) process.off(signal, listener);
      };
    },
  };
}

/** Writes all of it; resolves when the stream took it. */
export function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** Whether the reader of our output has gone away: no failure of ours, nobody is left to tell. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}
