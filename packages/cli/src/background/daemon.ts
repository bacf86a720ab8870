/** Starts and stops the daemon in the background. */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensurePrivateDir, lastWords, MxError, mxError, readPrivateFile } from "@mx-agent/base";
import type { DaemonStatus } from "@mx-agent/ipc";
import { connect } from "@mx-agent/ipc/client";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { logFile, sockets } from "../places.ts";
import { verbosityOf } from "../verbose.ts";
import { isAlive } from "./alive.ts";
import { closeInherited } from "./descriptors.ts";
import { withoutPassword } from "./environment.ts";
import { fullDisk } from "./full-disk.ts";
import { sizeOf, textFrom } from "./log-file.ts";

/**
 * The daemon lives for weeks beside other work. As it is, V8 lets garbage of a hundred megabytes lie while output
 * streams through; with these it is collected early, at the same speed (packages/daemon/bench/streams-plain.bench.ts).
 */
const HEAP = ["--max-semi-space-size=4", "--max-old-space-size=1024"];
const START_MS = 30_000;
const STOP_MS = 10_000;
const LOOK_MS = 20;
/** How many lines of the log are shown when a daemon did not start and did not say why. */
const TAIL_LINES = 5;

/**
 * Starts a daemon with a session of its own, its output in the log file and no other descriptor of
 * ours. Resolves when it answers. MX_ALREADY_RUNNING when one does already; else what the new one said
 * before it ended.
 */
export async function startDaemon(cli: Cli): Promise<DaemonStatus> {
  const running = await runningPid(cli);
  if (running !== null) throw mxError("MX_ALREADY_RUNNING", { pid: running });
  const file = logFile(cli.env);
  ensurePrivateDir(dirname(file));
  const log = await open(file, constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY, 0o600);
  try {
    const from = (await sizeOf(file)) ?? 0;
    closeInherited();
    const verbose = Array.from({ length: verbosityOf(cli) }, () => "-v");
    const program = [...HEAP, ...process.execArgv, cli.entry, "daemon-process", ...verbose];
    const child = spawn(process.execPath, program, {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      cwd: "/",
      env: withoutPassword(cli.env),
    });
    const ended = new Promise<"ended">((resolve) => {
      child.once("exit", () => resolve("ended"));
      child.once("error", () => resolve("ended"));
    });
    const status = await Promise.race([untilItAnswers(cli), ended]);
    if (status === "ended") throw whyNot(await textFrom(file, from), file);
    if (status === undefined)
      throw mxError("MX_DAEMON_UNREACHABLE", {
        socket: sockets(cli.env).daemon,
        detail: `no answer within ${START_MS / 1000} s; its log is ${file}`,
      });
    child.unref();
    return status;
  } finally {
    await log.close();
  }
}

/** Asks the daemon to stop and waits until it has; the pid that it had, null when none ran. */
export async function stopDaemon(cli: Cli): Promise<number | null> {
  const pid = await tellToStop(cli);
  if (pid === null) return null;
  for (let waited = 0; waited < STOP_MS; waited += LOOK_MS) {
    if (!isAlive(pid)) return pid;
    await pause(LOOK_MS);
  }
  throw mxError("MX_TIMED_OUT", { what: `the daemon (pid ${pid})`, seconds: STOP_MS / 1000 });
}

async function tellToStop(cli: Cli): Promise<number | null> {
  let pid: number | null = null;
  try {
    pid = await runningPid(cli);
    if (pid !== null) await ask(cli, "daemon.stop", {});
  } catch (error) {
    if (!(error instanceof MxError)) throw error;
    // It may be gone before its answer is.
    if (error.code === "MX_DAEMON_UNREACHABLE") return pid;
    // One that speaks another version of our protocol still knows a signal.
    pid = error.code === "MX_VERSION_SKEW" ? noticedPid(cli) : null;
    if (pid === null) throw error;
    process.kill(pid, "SIGTERM");
  }
  return pid;
}

/** Of the daemon that runs, as it says in its runtime directory. */
function noticedPid(cli: Cli): number | null {
  const notice = readPrivateFile(join(dirname(sockets(cli.env).daemon), "daemon.json"))?.toString("utf8");
  if (notice === undefined) return null;
  const { pid }: { pid?: unknown } = JSON.parse(notice);
  return typeof pid === "number" ? pid : null;
}

/** The daemon in this process, until it ends. */
export async function runForeground(cli: Cli): Promise<void> {
  const { runDaemonProcess } = await import("./daemon-process.ts");
  await runDaemonProcess(cli, true);
}

async function runningPid(cli: Cli): Promise<number | null> {
  try {
    const client = await connect({ socket: sockets(cli.env).daemon, version: cli.version });
    client.close();
    return client.daemon.pid;
  } catch (error) {
    if (error instanceof MxError && error.code === "MX_DAEMON_UNREACHABLE") return null;
    throw error;
  }
}

async function untilItAnswers(cli: Cli): Promise<DaemonStatus | undefined> {
  for (let waited = 0; waited < START_MS; waited += LOOK_MS) {
    try {
      return await ask(cli, "daemon.status", {});
    } catch (error) {
      if (!(error instanceof MxError) || error.code !== "MX_DAEMON_UNREACHABLE") throw error;
    }
    await pause(LOOK_MS);
  }
  return undefined;
}

/** The error that a daemon wrote as its last words, else the end of what it wrote. */
function whyNot(log: string, file: string): MxError {
  const lines = log.split("\n").filter((line) => line.trim() !== "");
  const error = lastWords(log);
  if (error) return error;
  const full = fullDisk(dirname(file));
  if (full) return full;
  const tail = lines.slice(-TAIL_LINES).join(" | ");
  return mxError("MX_INTERNAL", {
    detail: `the daemon ended at once; ${file} ends with: ${tail || "nothing"}`,
  });
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
