/** The world of a command in memory: what it read, what it wrote, and signals on demand. */
import { PassThrough, Readable } from "node:stream";
import type { Cli } from "../../src/cli.ts";

export interface FakeCli {
  cli: Cli;
  stdout(): string;
  stderr(): string;
  signal(name: NodeJS.Signals): void;
}

export function fakeCli(options: { stdin?: string; env?: NodeJS.ProcessEnv } = {}): FakeCli {
  const [stdout, stderr] = [collector(), collector()];
  const listeners = new Set<(signal: NodeJS.Signals) => void>();
  return {
    cli: {
      stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
      stdout: stdout.stream,
      stderr: stderr.stream,
      env: options.env ?? {},
      version: "0.0.1",
      entry: "",
      onSignal(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    stdout: stdout.text,
    stderr: stderr.text,
    signal: (name) => {
      for (const listener of listeners) listener(name);
    },
  };
}

function collector(): { stream: PassThrough; text(): string } {
  const stream = new PassThrough();
  let text = "";
  stream.on("data", (chunk) => {
    text += chunk;
  });
  return { stream, text: () => text };
}
