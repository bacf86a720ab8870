/** A machine whose daemon and runner a test kills, arms with a kill point, and starts again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { MethodName, Params, Result } from "@mx-agent/ipc";
import { connect, type IpcClient } from "@mx-agent/ipc/client";
import { eventually } from "../../../../../scripts/eventually.ts";
import { isAlive } from "../../../../cli/src/background/alive.ts";
import { sockets } from "../../../../cli/src/places.ts";
import { type Machine, processesOf, read } from "../../../../cli/test/support/machine.ts";

const LOOK_MS = 20;
const GENEROUS_MS = 60_000;

export class Box {
  readonly machine: Machine;
  #pid: number;
  #died: Promise<unknown>;

  private constructor(machine: Machine, pid: number) {
    this.machine = machine;
    this.#pid = pid;
    this.#died = this.#gone(pid);
  }

  /** Takes over a machine whose daemon runs. */
  static async of(machine: Machine): Promise<Box> {
    return new Box(machine, await machine.daemonPid());
  }

  /** Resolves when the daemon that was started last is gone. */
  get died(): Promise<unknown> {
    return this.#died;
  }

  /** Of the daemon that was started last. */
  get pid(): number {
    return this.#pid;
  }

  get alive(): boolean {
    return isAlive(this.#pid);
  }

  /** Starts a daemon; with a kill point it ends itself there, and so does a runner that it starts. */
  start(failpoint?: string): void {
    const [program = "", ...words] = this.machine.command;
    const log = openSync(join(this.machine.home, "data", "daemon.log"), "a", 0o600);
    const child: ChildProcess = spawn(program, [...words, "daemon-process"], {
      env: { ...this.machine.env, ...(failpoint !== undefined && { MX_AGENT_FAILPOINT: failpoint }) },
      detached: true,
      stdio: ["ignore", log, log],
      cwd: "/",
    });
    closeSync(log);
    child.unref();
    this.#pid = child.pid ?? 0;
    this.#died = once(child, "exit");
  }

  async kill(): Promise<void> {
    if (this.alive) process.kill(this.#pid, "SIGKILL");
    await this.#died;
  }

  /** Ends it as a service manager does. */
  async stop(): Promise<void> {
    if (this.alive) process.kill(this.#pid, "SIGTERM");
    await this.#died;
  }

  /** Kills every runner of this machine, those that took a dead one's place as well, and those on their way. */
  async killRunner(): Promise<void> {
    await eventually(async () => {
      for (const pid of this.runners()) if (isAlive(pid)) process.kill(pid, "SIGKILL");
      return this.#ofRunners().length === 0;
    });
  }

  /** Runners that run; not their guards, which are shells. */
  runners(): number[] {
    return this.#ofRunners().filter((pid) => wordsOf(pid)[0]?.endsWith("node") === true);
  }

  #ofRunners(): number[] {
    return this.processes().filter((pid) => wordsOf(pid).includes("runner-process"));
  }

  /** Everything that runs with this machine's home in its environment or arguments. */
  processes(): number[] {
    return processesOf(this.machine.home).map(({ pid }) => pid);
  }

  /** Whether the daemon came to answer; false when it died before. */
  async answers(): Promise<boolean> {
    for (let waited = 0; waited < GENEROUS_MS; waited += LOOK_MS) {
      const client = await this.connect().catch(() => undefined);
      client?.close();
      if (client?.daemon.pid === this.#pid) return true;
      if (!this.alive) return false;
      await pause(LOOK_MS);
    }
    throw new Error(`${this.machine.name}: no answer within ${GENEROUS_MS / 1000} s`);
  }

  connect(): Promise<IpcClient> {
    return connect({ socket: sockets(this.machine.env).daemon, version: "test" });
  }

  async ask<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M>> {
    const client = await this.connect();
    try {
      return await client.call(method, params).result;
    } finally {
      client.close();
    }
  }

  async #gone(pid: number): Promise<void> {
    while (isAlive(pid)) await pause(LOOK_MS);
  }
}

const wordsOf = (pid: number) => read(`/proc/${pid}/cmdline`).split("\0");

/** Whether a process stands still by SIGSTOP. */
export function isStopped(pid: number): boolean {
  return /\) T /.test(read(`/proc/${pid}/stat`));
}

/** How often a command began that appends a line to the file. */
export async function linesOf(file: string): Promise<number> {
  try {
    return (await readFile(file, "utf8")).trimEnd().split("\n").length;
  } catch {
    return 0;
  }
}

/** How large a part of the full run this one is: 1 is all of it. */
export function scale(): number {
  return Number(process.env.MX_TEST_SCALE ?? "1");
}
