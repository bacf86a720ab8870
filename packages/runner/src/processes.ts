/** The process table, as /proc shows it. */
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessInfo {
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  /** One letter, as in proc(5): Z is a zombie. */
  state: string;
  /** Clock ticks since boot; together with the pid it names a process for ever (until reboot). */
  start_time: number;
  /** User and system time of the process and its waited-for children, in clock ticks. */
  cpu_ticks: number;
  resident_pages: number;
  threads: number;
}

/** Clock ticks per second of /proc: fixed by the kernel's interface. */
export const TICKS_PER_SECOND = 100;

/** All processes that this one may see. Empty where there is no /proc. */
export function processTable(): Map<number, ProcessInfo> {
  const table = new Map<number, ProcessInfo>();
  for (const name of entries("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const info = processInfo(pid);
    if (info !== null) table.set(pid, info);
  }
  return table;
}

/** One process; null when it is gone. */
export function processInfo(pid: number): ProcessInfo | null {
  const text = readProc(`/proc/${pid}/stat`);
  // The name in parentheses may contain anything, parentheses and line feeds included.
  const end = text?.lastIndexOf(")") ?? -1;
  if (text === null || end === -1) return null;
  const field = text.slice(end + 2).split(" ");
  const number = (index: number) => Number(field[index - 3]);
  return {
    pid,
    state: field[0] ?? "",
    ppid: number(4),
    pgid: number(5),
    sid: number(6),
    cpu_ticks: number(14) + number(15) + number(16) + number(17),
    threads: number(20),
    start_time: number(22),
    resident_pages: number(24),
  };
}

/** Whether exactly that process is still there and running. */
export function isAlive(pid: number, start_time: number): boolean {
  const info = processInfo(pid);
  return info !== null && info.start_time === start_time && info.state !== "Z";
}

/** Pids of a process's children; where the kernel lists them, without a walk through the table. */
export function childrenOf(pid: number): number[] {
  const pids: number[] = [];
  let listing = false;
  // Each thread has its own; an orphan may be adopted by any of them.
  for (const thread of entries(`/proc/${pid}/task`)) {
    const listed = readProc(`/proc/${pid}/task/${thread}/children`);
    listing ||= listed !== null;
    for (const child of (listed ?? "").split(" ")) if (child !== "") pids.push(Number(child));
  }
  if (listing) return pids;
  return [...processTable().values()].filter((process) => process.ppid === pid).map((process) => process.pid);
}

/** Changes with every boot; empty where the system does not tell. */
export function bootId(): string {
  return readProc("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
}

/** A file of /proc; null when its process is gone, or not ours to see. */
export function readProc(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (error instanceof Error && "code" in error) return null;
    throw error;
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error) return [];
    throw error;
  }
}
