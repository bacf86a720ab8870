import { readFileSync } from "node:fs";

const MAX_GENERATIONS = 1_000;

/**
 * Whether a process is the runner, a child of it or below one: those may not use the operator's socket. A process
 * whose ancestry cannot be read counts as one. Orphans stay below the runner, because it is their subreaper.
 */
export function descendsFrom(pid: number, ancestor: number): boolean {
  let at: number | undefined = pid;
  for (let generation = 0; generation < MAX_GENERATIONS; generation++) {
    if (at === ancestor) return true;
    if (at === undefined) return true;
    if (at <= 1) return false;
    at = parentOf(at);
  }
  return true;
}

/** From /proc/PID/stat, whose second field may contain anything; undefined when it cannot be read. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return Number.isSafeInteger(parent) ? parent : undefined;
  } catch {
    return undefined;
  }
}
