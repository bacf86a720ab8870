import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** A server that runs as a child of this process, and ends with it. */
export interface ServerProcess {
  readonly pid: number;
  /** Lines to it; closing this is how a child learns that its parent is gone. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** The end of what it wrote to stderr, for messages. */
  readonly complaints: () => string;
  readonly running: () => boolean;
  /** Sends a signal and waits until the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** SIGTERM, and SIGKILL for what is still there after `patienceMs`. */
  stop(patienceMs?: number): Promise<void>;
}

/** Starts a child with pipes. Rejects when it can't be executed at all. */
export async function spawnServer(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<ServerProcess> {
  const child = spawn(command, args, { ...options, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const pid = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => resolve(child.pid ?? 0));
  });
  const tail = keepTail(child);
  child.stdin.on("error", () => {
    // EPIPE when it died first; whoever waits for an answer sees the end of its stdout.
  });
  const running = () => child.exitCode === null && child.signalCode === null;
  const kill = async (signal: NodeJS.Signals) => {
    if (running()) child.kill(signal);
    await ended;
  };
  const stop = async (patienceMs = 15_000) => {
    const insist = setTimeout(() => child.kill("SIGKILL"), patienceMs);
    await kill("SIGTERM");
    clearTimeout(insist);
  };
  return { pid, stdin: child.stdin, stdout: child.stdout, complaints: tail, running, kill, stop };
}

function keepTail(child: ChildProcess): () => string {
  let tail = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    tail = (tail + text).slice(-8192);
  });
  return () => tail;
}

/** A port of 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null
          ? resolve(address.port)
          : reject(new Error("the probe socket has no address")),
      );
    });
  });
}

/** Asks `url` until it answers with 2xx; an error when the process ends first or `limitMs` have passed. */
export async function answering(url: string, server: ServerProcess, limitMs = 60_000): Promise<void> {
  const limit = performance.now() + limitMs;
  for (;;) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
      await response.arrayBuffer();
      if (response.ok) return;
    } catch {
      // Not listening yet.
    }
    if (!server.running()) throw new Error(`the server ended before it answered:\n${server.complaints()}`);
    if (performance.now() > limit) {
      await server.kill("SIGKILL");
      throw new Error(`no answer from ${url} in ${limitMs} ms:\n${server.complaints()}`);
    }
    await sleep(20);
  }
}
