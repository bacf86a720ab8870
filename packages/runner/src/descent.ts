import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const MAX_GENERATIONS = 1_000;

/** The parent of a process; undefined when it cannot be read. */
export type ParentOf = (pid: number) => number | undefined;

/**
 * Whether a process is the runner, a child of it or below one: those may not use the operator's socket. A process
 * whose ancestry cannot be read counts as one. Orphans stay below the runner, because it is their subreaper; macOS has
 * none, and gives them to launchd.
 */
export function descendsFrom(pid: number, ancestor: number, parentOf: ParentOf = parents()): boolean {
  let at: number | undefined = pid;
  for (let generation = 0; generation < MAX_GENERATIONS; generation++) {
    if (at === ancestor) return true;
    if (at === undefined) return true;
    if (at <= 1) return false;
    at = parentOf(at);
  }
  return true;
}

/** All parents as they are now: by /proc, or where a system has none by ps(1), which was tried on Linux alone. */
export function parents(platform: NodeJS.Platform = process.platform): ParentOf {
  if (platform === "linux") return fromProc;
  const { stdout } = spawnSync("/bin/ps", ["-axo", "pid=,ppid="], { encoding: "utf8" });
  const table = new Map<number, number>();
  for (const [, pid, ppid] of stdout?.matchAll(/^\s*(\d+)\s+(\d+)\s*$/gm) ?? [])
    table.set(Number(pid), Number(ppid));
  return (pid) => table.get(pid);
}

/** From /proc/PID/stat, whose second field may contain anything. */
function fromProc(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return Number.isSafeInteger(parent) ? parent : undefined;
  } catch {
    return undefined;
  }
}
