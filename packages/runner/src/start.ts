import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { MxError, mxError } from "@mx-agent/base";
import type { RunnerClient } from "./api.ts";
import { connectRunner } from "./client.ts";
import { ownScope } from "./scope.ts";

/** How long a runner may take until it answers: it ends what an earlier one left behind first. */
const START_MS = 40_000;

const LOOK_MS = 10;

export interface StartOptions {
  /** The argv that starts a runner, without `--dir` and `--socket`, which are added. */
  command: readonly string[];
  dir: string;
  socket: string;
  /** Of the runner; this process's own unless given. */
  env?: Record<string, string | undefined>;
}

/**
 * Connects to the runner of `dir`, starting it when there is none: in a session of its own, with no
 * descriptor of ours but its log; in a group of its own where the user's systemd makes one. MX_NOT_RUNNING when it
 * does not come up; the log says why.
 */
export async function startRunner(options: StartOptions): Promise<RunnerClient> {
  const there = await tryConnect(options.socket);
  if (there !== null) return there;
  const scope = await ownScope(options.env ?? process.env);
  if (scope !== null) {
    const client = await bringUp({ ...options, command: [...scope, ...options.command] });
    if (typeof client !== "string") return client;
  }
  const client = await bringUp(options);
  if (typeof client !== "string") return client;
  throw mxError("MX_NOT_RUNNING", {
    what: "the runner",
    hint: `it ${client}; ${join(options.dir, "runner.log")} says why`,
  });
}

/** The client, or what became of the process instead. */
async function bringUp(options: StartOptions): Promise<RunnerClient | string> {
  const { socket } = options;
  const ended = launch(options);
  const deadline = performance.now() + START_MS;
  let exit: string | null = null;
  void ended.then((how) => {
    exit = how;
  });
  for (;;) {
    const client = await tryConnect(socket);
    if (client !== null) return client;
    if (exit !== null || performance.now() > deadline) return exit ?? "does not answer";
    await wait(LOOK_MS);
  }
}

async function tryConnect(socket: string): Promise<RunnerClient | null> {
  try {
    return await connectRunner(socket);
  } catch (error) {
    if (error instanceof MxError && error.code === "MX_NOT_RUNNING") return null;
    throw error;
  }
}

/** Resolves with how the new process ended, if it does. */
function launch(options: StartOptions): Promise<string> {
  const { dir, socket, env } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const log = openSync(join(dir, "runner.log"), "a", 0o600);
  try {
    const [file = "", ...args] = options.command;
    const child = spawn(file, [...args, "--dir", dir, "--socket", socket], {
      cwd: "/",
      detached: true,
      stdio: ["ignore", log, log],
      env: env ?? process.env,
    });
    child.unref();
    return new Promise((resolve) => {
      child.once("error", (error) => resolve(`could not be started (${error.message})`));
      child.once("exit", (code, signal) => resolve(`ended with ${signal ?? code}`));
    });
  } finally {
    closeSync(log);
  }
}
