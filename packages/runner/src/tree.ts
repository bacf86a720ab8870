/** Everything that descends from one run, and its end. */
import { brandOf } from "./brand.ts";
import type { Native } from "./native.ts";
import { childrenOf, type ProcessInfo, processInfo, processTable } from "./processes.ts";

/** How often a tree that is being ended is looked at, in milliseconds. */
const LOOK_MS = 20;

/** How long SIGKILL is repeated for processes that it does not end: another user's, or stuck in the kernel. */
const GIVE_UP_MS = 10_000;

/** How often new processes of a tree are looked for and stopped, before what is known is killed. */
const STOP_ROUNDS = 20;

const STOPPED: ReadonlySet<string> = new Set(["T", "t", "Z", "X"]);

/** What a member of a tree is recognised by. */
export interface TreeRoot {
  /** The child's pid, which is also its session and its process group. */
  pid: number;
  start_time: number;
  /** What all of them carry; null where there are no brands. */
  brand: number | null;
  /** Processes that only hold the run together: a launcher, which must not get the SIGTERM. */
  spared: ReadonlySet<number>;
}

export class ProcessTree {
  readonly #root: TreeRoot;
  /** Descendants seen so far, by pid, with their start time: an orphan is still known. */
  readonly #known = new Map<number, number>();
  readonly #claims: (process: ProcessInfo) => boolean;

  /** `claims` says of a process with no other tie whether it belongs to this run all the same. */
  constructor(root: TreeRoot, claims: (process: ProcessInfo) => boolean) {
    this.#root = root;
    this.#claims = claims;
    this.#known.set(root.pid, root.start_time);
  }

  /** Living members, zombies left out. */
  members(table: ReadonlyMap<number, ProcessInfo> = processTable()): ProcessInfo[] {
    const inside = new Set<number>();
    for (const process of table.values()) if (this.#isTied(process)) inside.add(process.pid);
    // Children of members are members; a table is not sorted by age once pids wrap around.
    for (let before = -1; before !== inside.size; ) {
      before = inside.size;
      for (const process of table.values()) if (inside.has(process.ppid)) inside.add(process.pid);
    }
    for (const [pid, start_time] of this.#known)
      if (table.get(pid)?.start_time !== start_time) this.#known.delete(pid);
    const members: ProcessInfo[] = [];
    for (const pid of inside) {
      const process = table.get(pid);
      if (process === undefined) continue;
      this.#known.set(pid, process.start_time);
      if (process.state !== "Z" && process.state !== "X") members.push(process);
    }
    return members;
  }

  /**
   * SIGTERM to all, and after the grace (milliseconds) SIGKILL, until none is left. Answers the
   * processes that would not go, which is none but for another user's and those stuck in the kernel.
   */
  async end(grace_ms: number): Promise<ProcessInfo[]> {
    const deadline = performance.now() + grace_ms;
    const asked = new Set<number>();
    for (;;) {
      const members = this.members();
      const late = performance.now() - deadline;
      if (members.length === 0 || late >= GIVE_UP_MS) return members;
      if (late >= 0) this.#kill();
      else {
        for (const { pid } of members) {
          if (asked.has(pid) || this.#root.spared.has(pid)) continue;
          asked.add(pid);
          signal(pid, "SIGTERM");
        }
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /**
   * SIGKILL to all. To whole process groups first, which the kernel does in one step that no fork gets
   * ahead of; what left its group is stopped until a look finds nobody running, and then killed.
   */
  #kill(): void {
    const own = processInfo(process.pid)?.pgid;
    const groups = new Set(this.members().map((one) => one.pgid));
    for (const pgid of groups) if (pgid > 1 && pgid !== own) signal(-pgid, "SIGKILL");
    for (let round = 0; round < STOP_ROUNDS; round++) {
      const running = this.members().filter((one) => !STOPPED.has(one.state));
      if (running.length === 0) break;
      for (const { pid } of running) signal(pid, "SIGSTOP");
    }
    for (const { pid } of this.members()) signal(pid, "SIGKILL");
  }

  #isTied(process: ProcessInfo): boolean {
    const { pid, start_time, brand } = this.#root;
    if (this.#known.get(process.pid) === process.start_time) return true;
    // A number may be somebody else's by now: once a session is empty, its number can be used again.
    if ((process.sid === pid || process.pgid === pid) && process.start_time >= start_time)
      return brand === null || brandOf(process.pid) === brand;
    return this.#claims(process);
  }
}

/** False when the process is gone, or may not be signalled. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if (error instanceof Error && "code" in error) return false;
    throw error;
  }
}

/**
 * Takes the exit status of adopted processes, so that no zombies pile up. Node waits for its own
 * children: those in `ours`, and helpers, which stay in this process's session; a run's never do.
 */
export function reapAdopted(native: Native | string, ours: ReadonlySet<number>): void {
  if (typeof native === "string") return;
  const self = processInfo(process.pid);
  for (const pid of childrenOf(process.pid)) {
    const one = ours.has(pid) ? null : processInfo(pid);
    if (one?.state === "Z" && one.sid !== self?.sid) native.reap(pid);
  }
}
