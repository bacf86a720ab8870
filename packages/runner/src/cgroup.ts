/**
 * Limits by cgroups of version 2: of memory and threads, by the kernel, over all of a run. The group that this
 * process was given is divided: one leaf for the runner and its ancestors, one group for each run.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { LEAF, processesIn, strangersIn } from "@mx-agent/sandbox";
import type { RunEnd, RunLimits } from "./api.ts";
import { StartFailure, systemCode } from "./identity.ts";

const RUN = "mx-agent-run-";
/** A group is empty once its last process has been waited for. */
const EMPTY_MS = 5_000;
const LOOK_MS = 10;

/**
 * The kernel counts threads; processes proper are counted by the watch. This is the room that programs with threads
 * need, and where a fork bomb ends that is faster than the watch.
 */
const threadsFor = (processes: number) => processes * 4 + 256;

export class Cgroups {
  readonly #group: string;
  readonly #leaf: string;

  private constructor(group: string) {
    this.#group = group;
    this.#leaf = join(group, LEAF);
  }

  /** Divides the group; a string is the reason why it cannot be. Runs that a runner before left there are removed. */
  static open(group: string): Cgroups | string {
    const cgroups = new Cgroups(group);
    try {
      cgroups.#divide();
      return cgroups;
    } catch (error) {
      return `the cgroup ${group} cannot be divided: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  #divide(): void {
    mkdirSync(this.#leaf, { recursive: true });
    const strangers = strangersIn(this.#group);
    if (strangers.length > 0) throw new Error(`other processes are in it (${strangers[0]})`);
    for (const pid of processesIn(this.#group)) write(this.#leaf, "cgroup.procs", pid);
    write(this.#group, "cgroup.subtree_control", "+memory +pids");
    for (const name of readdirSync(this.#group).filter((one) => one.startsWith(RUN)))
      void new RunGroup(join(this.#group, name), this.#leaf).remove().catch(() => undefined);
  }

  /** A group for a run; null where none of its limits is the kernel's. Throws where it cannot be made. */
  forRun(run_id: string, limits: RunLimits): RunGroup | null {
    const { max_memory_bytes, max_processes } = limits;
    if (max_memory_bytes === null && max_processes === null) return null;
    const group = new RunGroup(join(this.#group, `${RUN}${run_id}`), this.#leaf);
    group.make(max_memory_bytes, max_processes === null ? null : threadsFor(max_processes));
    return group;
  }
}

export class RunGroup {
  readonly #path: string;
  readonly #leaf: string;
  readonly #limits: [file: string, value: number][] = [];

  constructor(path: string, leaf: string) {
    this.#path = path;
    this.#leaf = leaf;
  }

  /** @throws StartFailure */
  make(memory: number | null, threads: number | null): void {
    try {
      mkdirSync(this.#path);
    } catch (error) {
      throw new StartFailure("LIMIT_UNAVAILABLE", `${this.#path}: ${systemCode(error)}`);
    }
    const files = readdirSync(this.#path);
    if (threads !== null) this.#limits.push(["pids.max", threads]);
    if (memory === null) return;
    // Without swap, where there is any: the limit is of what the run has, not of where it is.
    if (files.includes("memory.swap.max")) this.#limits.push(["memory.swap.max", 0]);
    this.#limits.push(["memory.oom.group", 1], ["memory.max", memory]);
  }

  /**
   * What `spawn` starts is in the group from its first instruction. Synchronous: nothing else of the runner is. The
   * limits hold from when the runner has left: a small one would end the runner itself.
   */
  spawnInside<T>(spawn: () => T): T {
    write(this.#path, "cgroup.procs", process.pid);
    try {
      return spawn();
    } finally {
      write(this.#leaf, "cgroup.procs", process.pid);
      for (const [file, value] of this.#limits) write(this.#path, file, value);
    }
  }

  /** Which limit the kernel had to hold, if any. */
  exceeded(): RunEnd["error"] {
    if (count(this.#path, "memory.events", "oom_kill") > 0)
      return {
        code: "LIMIT_MEMORY",
        message: `more memory than ${read(this.#path, "memory.max").trim()} bytes`,
      };
    return null;
  }

  /** Ends what is still in it, and removes it. */
  async remove(): Promise<void> {
    const deadline = performance.now() + EMPTY_MS;
    for (;;) {
      const inside = processesIn(this.#path);
      if (inside.includes(process.pid)) write(this.#leaf, "cgroup.procs", process.pid);
      else if (inside.length > 0) write(this.#path, "cgroup.kill", 1);
      try {
        rmdirSync(this.#path);
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await wait(LOOK_MS);
      }
    }
  }
}

function count(path: string, file: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, "m").exec(read(path, file))?.[1] ?? 0);
}

function read(path: string, file: string): string {
  return readFileSync(join(path, file), "utf8");
}

function write(path: string, file: string, value: string | number): void {
  writeFileSync(join(path, file), `${value}\n`);
}
