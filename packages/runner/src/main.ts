/** Assembles a runner: lock, recovery, socket; nothing is decided here. */
import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { MxError, mxError } from "@mx-agent/base";
import { connectRunner } from "./client.ts";
import { becomeGuard, followGuard, isGuarded } from "./guard.ts";
import { type Lock, takeLock } from "./lock.ts";
import { Machine } from "./machine.ts";
import { openNative } from "./native.ts";
import { endPredecessor } from "./predecessor.ts";
import { endInterrupted, unfinishedRuns } from "./recover.ts";
import { Runs } from "./runs.ts";
import { RunnerServer } from "./server.ts";
import { Spool } from "./spool.ts";

export interface RunnerOptions {
  /** Where spools live; made 0700 when missing. One runner for each. */
  dir: string;
  /** Path of the Unix socket; its directory is the caller's, and private. */
  socket: string;
  /** Never shown by a sandbox, beside `dir`, the socket's directory and what a request lists. */
  hidden_paths?: readonly string[];
  /** Where lines for the operator go; standard error unless said otherwise. */
  log?: (line: string) => void;
}

/** How long a runner that is ending may take to let go of its directory, in milliseconds. */
const TURN_MS = 30_000;

/**
 * Runs until `shutdown` or SIGTERM, both of which end every run. Throws MX_ALREADY_RUNNING when this
 * directory has its runner. On Linux the calling process is replaced by a small guard, which is the
 * parent of the runner proper and ends what that leaves behind when it is killed.
 */
export async function runRunner(options: RunnerOptions): Promise<void> {
  const { dir, socket } = options;
  const log = options.log ?? ((line) => process.stderr.write(`${new Date().toISOString()} ${line}\n`));
  const native = openNative();
  if (typeof native === "string") log(`working without a subreaper: ${native}`);
  else {
    native.closeInheritedOnExec();
    if (!isGuarded()) becomeGuard(native);
    if (!isGuarded()) log("working without a guard: this process could not become one");
  }

  const runs_dir = join(dir, "runs");
  mkdirSync(runs_dir, { recursive: true, mode: 0o700 });
  const lock = await takeTurn(join(dir, "runner.lock"), socket);
  const adopts = typeof native !== "string" && native.becomeSubreaper();
  if (typeof native !== "string") followGuard(native);

  await endPredecessor(dir);
  const spool = new Spool(runs_dir);
  const unfinished = await unfinishedRuns(spool);
  const hidden_paths = [...new Set([...(options.hidden_paths ?? []), dir, dirname(socket)])];
  const machine = new Machine({ native, adopts, spool, hidden_paths, log });
  machine.watch(machine.capabilities());
  await endInterrupted(machine, unfinished);

  let stopping: Promise<void> | null = null;
  const finished = Promise.withResolvers<void>();
  const stop = () => {
    stopping ??= runs.endAll();
    return stopping;
  };
  const server = new RunnerServer({
    native,
    log,
    shutdown: async () => {
      await stop();
      setImmediate(() => finished.resolve());
    },
  });
  const runs: Runs = new Runs(machine, server);
  process.on("SIGCHLD", () => machine.reap());
  for (const name of ["SIGTERM", "SIGINT"] as const)
    process.on(name, () => machine.watch(stop().then(() => finished.resolve())));
  // A terminal that closes is no reason: the runner outlives whoever started it.
  process.on("SIGHUP", () => undefined);

  await rm(socket, { force: true });
  await server.listen(socket, runs);
  await finished.promise;
  await server.close();
  lock.release();
}

/** Waits for the lock, unless who has it is a runner that answers. */
async function takeTurn(path: string, socket: string): Promise<Lock> {
  const deadline = performance.now() + TURN_MS;
  for (;;) {
    const lock = takeLock(path);
    if (lock !== null) return lock;
    const pid = await answeringPid(socket);
    if (pid !== null || performance.now() > deadline)
      throw mxError("MX_PLATFORM", {
        detail: `a runner has ${dirname(path)} already (pid ${pid ?? "unknown"})`,
      });
    await wait(20);
  }
}

async function answeringPid(socket: string): Promise<number | null> {
  try {
    const client = await connectRunner(socket);
    client.close();
    return client.pid;
  } catch (error) {
    if (error instanceof MxError) return null;
    throw error;
  }
}
