import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { mxError } from "@mx-agent/base";
import { isLocked } from "./store/lock.ts";

/** `homeserver.json`: what is running on a data directory. Written by the server once it answers. */
export interface RunningHomeserver {
  readonly pid: number;
  readonly url: string;
  /** RFC 3339, UTC. */
  readonly started_at: string;
}

export type HomeserverStatus = { readonly running: false } | ({ readonly running: true } & RunningHomeserver);

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 15_000;
const POLL_MS = 20;

/** Writes `homeserver.json`; only the process that holds the data directory's lock may. */
export async function writeRunning(dataDir: string, running: RunningHomeserver): Promise<void> {
  const temporary = join(dataDir, ".homeserver.json.new");
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(`${JSON.stringify(running)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(dataDir, "homeserver.json"));
}

export async function removeRunning(dataDir: string): Promise<void> {
  await rm(join(dataDir, "homeserver.json"), { force: true });
}

/** What runs on a data directory. A file that a killed server left behind does not count. */
export function homeserverStatus(dataDir: string): HomeserverStatus {
  const running = readRunning(dataDir);
  return running !== undefined && isLocked(dataDir) ? { running: true, ...running } : { running: false };
}

function readRunning(dataDir: string): RunningHomeserver | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(dataDir, "homeserver.json"), "utf8"));
    const { pid, url, started_at } = value as Partial<RunningHomeserver>;
    if (typeof pid !== "number" || typeof url !== "string" || typeof started_at !== "string")
      return undefined;
    return { pid, url, started_at };
  } catch {
    // No file, or half of one: nobody has said that anything is running.
    return undefined;
  }
}

/**
 * Starts a homeserver of its own session and resolves once it answers. `command` is what runs it in the
 * foreground on this data directory (its argv); its output goes to `homeserver.log` there.
 * MX_HOMESERVER_START when one is running already or the new one ends before it answers.
 */
export async function startInBackground(options: {
  readonly dataDir: string;
  readonly command: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}): Promise<RunningHomeserver> {
  const { dataDir } = options;
  const status = homeserverStatus(dataDir);
  if (status.running)
    throw startError(`one is running on ${dataDir} already (pid ${status.pid}, ${status.url})`);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  await removeRunning(dataDir);
  const [program, ...args] = options.command;
  if (program === undefined) throw startError("the command to start it is empty");
  const logPath = join(dataDir, "homeserver.log");
  const log = openSync(logPath, "a", 0o600);
  let ended: string | undefined;
  const child = spawn(program, args, {
    detached: true,
    stdio: ["ignore", log, log],
    env: options.env ?? process.env,
  });
  closeSync(log);
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended = `it ended (${signal ?? `exit status ${code}`}); its log is ${logPath}`;
  });
  for (let waited = 0; waited < START_TIMEOUT_MS; waited += POLL_MS) {
    const running = readRunning(dataDir);
    if (running !== undefined) {
      child.unref();
      return running;
    }
    if (ended !== undefined) throw startError(ended);
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
    await delay(POLL_MS);
  }
  throw startError(`the homeserver with pid ${status.pid} did not stop within ${STOP_TIMEOUT_MS / 1000} s`);
}

function startError(detail: string): Error {
  return mxError("MX_HOMESERVER_START", { detail });
}
