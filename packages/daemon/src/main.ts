/** Assembles the daemon and runs it until it is told to stop. */
import { join } from "node:path";
import { type Dirs, effectiveConfig, ensurePrivateDirs, mxError, version } from "@mx-agent/base";
import { createLogger } from "@mx-agent/base/log";
import { serve } from "@mx-agent/ipc/server";
import { nodeMachine } from "@mx-agent/policy";
import { descendsFrom, startRunner } from "@mx-agent/runner";
import { openAudit } from "./audit/log.ts";
import { Daemon } from "./daemon.ts";
import { loadPeerLookup } from "./ipc/peer-credentials.ts";
import { openExclusively, removeNotice } from "./lock.ts";
import { methods } from "./methods/index.ts";
import { keepReachable } from "./reachable.ts";
import { RunnerHost } from "./run/runner-host.ts";
import { ownKeyIds } from "./signing-keys.ts";
import { auditMemory } from "./state/audit-memory.ts";
import { monotonicClock } from "./state/clock.ts";
import { Database } from "./state/database.ts";
import { migrations } from "./state/schema.ts";
import { Settings } from "./state/settings.ts";
import { openTables } from "./state/tables.ts";

/** Of 32 MiB each; the oldest is removed for the next, which is put on record. */
const AUDIT_FILES = 16;
/** An orderly end takes no longer than this. */
const STOP_WITHIN_MS = 5_000;

export interface RunDaemonOptions {
  dirs: Dirs;
  env: NodeJS.ProcessEnv;
  /** In the foreground it ends with its terminal; in the background it outlives it. */
  foreground: boolean;
  /** How often -v was given: the log says more than its configuration asks for. */
  verbose?: number;
}

/** Runs until SIGTERM, SIGINT or `daemon.stop`; resolves when everything is closed. MX_ALREADY_RUNNING and others. */
export async function runDaemon(options: RunDaemonOptions): Promise<void> {
  const { dirs, env } = options;
  // Whatever any library writes is ours alone to read, the database's own files among it.
  process.umask(0o077);
  ensurePrivateDirs(dirs);
  const { values: config } = await effectiveConfig({ configDir: dirs.config, env });
  const logger = createLogger({ name: "daemon", env, config, verbose: options.verbose ?? 0 });
  // A promise that nobody took is a bug, and no reason to let go of everything that runs.
  process.on("unhandledRejection", (error) => logger.error({ err: error }, "a promise failed unseen"));
  const endAtOnce = (why: string) => (error: unknown) => {
    logger.fatal({ err: error }, `${why}; ending, the next start recovers`);
    process.exit(70);
  };
  process.on("uncaughtException", endAtOnce("something went wrong where nobody expected it"));
  const noticeFile = join(dirs.runtime, "daemon.json");
  const db = openExclusively(
    () => new Database({ file: join(dirs.data, "state.db"), migrations, version: version() }),
    noticeFile,
  );
  const now = monotonicClock(new Settings(db));
  const tables = openTables(db, now);
  const runner = await RunnerHost.start({
    logger,
    start: () =>
      startRunner({
        command: [process.execPath, entryFile(), "runner-process"],
        dir: join(dirs.data, "runs"),
        socket: join(dirs.runtime, "runner.sock"),
      }),
  });
  const stopped = Promise.withResolvers<void>();
  const sockets = { daemon: join(dirs.runtime, "daemon.sock"), agent: join(dirs.runtime, "agent.sock") };
  const daemon = new Daemon({
    dirs,
    env,
    tables,
    runner,
    log: openAudit({
      dir: join(dirs.data, "audit"),
      clock: () => new Date(now()),
      maxFiles: AUDIT_FILES,
      memory: auditMemory(db),
      isOwnKey: (key_id) => ownKeyIds(join(dirs.data, "keys")).includes(key_id),
      onError: (error) => logger.error({ err: error }, "the audit log could not be signed"),
    }),
    machine: nodeMachine(env, [dirs.config, dirs.data, dirs.runtime]),
    logger,
    sockets,
    now,
    fetch: globalThis.fetch,
    stop: stopped.resolve,
    fatal: endAtOnce("state could not be written"),
  });
  runner.onRestarted(async () => {
    await daemon.online?.runs.adopt();
    await daemon.online?.executor.resumeAdmitted();
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopped.resolve());
  process.on("SIGHUP", () => {
    if (options.foreground) stopped.resolve();
  });
  // Before anybody can ask: who sees the daemon answer finds it logged in.
  await daemon.start();
  const server = await serve({
    sockets,
    handlers: methods(daemon),
    version: version(),
    peerOf: loadPeerLookup(),
    refusePid: (pid) => descendsFrom(pid, runner.pid),
    onCall: ({ method, peer }) => logger.debug({ method, ...peer }, "asked"),
    onError: (error, where) => logger.error({ err: error, ...where }, "a method failed unexpectedly"),
  }).catch(async (error: unknown) => {
    await end();
    throw error;
  });
  logger.info({ pid: process.pid, version: version(), home: dirs.data }, "the daemon is listening");

  const letGo = keepReachable(server, dirs.runtime, noticeFile, logger);
  await stopped.promise;
  letGo();
  const late = setTimeout(() => {
    logger.error({}, "stopping took too long");
    process.exit(70);
  }, STOP_WITHIN_MS);
  await server.close();
  await end();
  clearTimeout(late);
  logger.info({}, "the daemon has stopped");

  async function end(): Promise<void> {
    await daemon.close();
    // A runner that nobody needs does not stay; one with runs goes on, and the next daemon finds it.
    if (tables.executions.inState("starting", "running").length === 0) await runner.shutdown();
    else runner.close();
    db.close();
    removeNotice(noticeFile);
  }
}

/** The program that this process runs: the runner is started from the same. */
function entryFile(): string {
  const [, file] = process.argv;
  if (file === undefined) throw mxError("MX_INTERNAL", { detail: "the entry file is not known" });
  return file;
}
