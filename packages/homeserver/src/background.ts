import { spawn } from "node:child_process";
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { lastWords, mxError } from "@mx-agent/base";
import { homeserverProcess } from "./node-process.ts";
import { logFile, type RunningHomeserver, readRunning } from "./running.ts";
import { isLocked } from "./store/lock.ts";

export type HomeserverStatus = { readonly running: false } | ({ readonly running: true } & RunningHomeserver);

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 15_000;
const POLL_MS = 20;

/**
 * What runs on a data directory. A file that a killed server left behind does not count: whoever takes the
 * lock removes it first, so the lock is looked at before the file.
 */
export function homeserverStatus(dataDir: string): HomeserverStatus {
  if (!isLocked(dataDir)) return { running: false };
  const running = readRunning(dataDir);
  return running === undefined ? { running: false } : { running: true, ...running };
}

/**
 * Starts a homeserver of its own session and resolves once it answers. `args` is what Node is given to run it in the
 * foreground on this data directory; its output goes to `homeserver.log` there.
 * MX_HOMESERVER_START when one is running already or the new one ends before it answers, or what it said itself.
 */
export async function startInBackground(options: {
  readonly dataDir: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}): Promise<RunningHomeserver> {
  const { dataDir } = options;
  const status = homeserverStatus(dataDir);
  if (status.running)
    throw startError(`one is running on ${dataDir} already (pid ${status.pid}, ${status.url})`);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const { file, args, env } = homeserverProcess(options.args, options.env);
  const logPath = logFile(dataDir);
  const log = openSync(logPath, "a", 0o600);
  const from = fstatSync(log).size;
  let ended: string | undefined;
  const child = spawn(file, args, { detached: true, stdio: ["ignore", log, log], env });
  closeSync(log);
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended = `it ended (${signal ?? `exit status ${code}`}); its log is ${logPath}`;
  });
  for (let waited = 0; waited < START_TIMEOUT_MS; waited += POLL_MS) {
    const running = readRunning(dataDir);
    // The file may be one that a killed server left behind.
    if (running !== undefined && running.pid === child.pid) {
      child.unref();
      return running;
    }
    if (ended !== undefined)
      throw lastWords(readFileSync(logPath).subarray(from).toString("utf8")) ?? startError(ended);
    await delay(POLL_MS);
  }
  child.kill();
  throw startError(`it did not answer within ${START_TIMEOUT_MS / 1000} s; its log is ${logPath}`);
}

/** Ends the homeserver of a data directory, cleanly; false when none was running. */
export async function stopHomeserver(dataDir: string): Promise<boolean> {
  const status = homeserverStatus(dataDir);
  if (!status.running) return false;
  process.kill(status.pid, "SIGTERM");
  for (let waited = 0; waited < STOP_TIMEOUT_MS; waited += POLL_MS) {
    if (!isLocked(dataDir)) return true;
    // Somebody else's may have been started meanwhile. One that stops takes its file away before the lock.
    const now = readRunning(dataDir);
    if (now !== undefined && now.pid !== status.pid) return true;
    await delay(POLL_MS);
  }
  throw startError(`the homeserver with pid ${status.pid} did not stop within ${STOP_TIMEOUT_MS / 1000} s`);
}

function startError(detail: string): Error {
  return mxError("MX_HOMESERVER_START", { detail });
}
