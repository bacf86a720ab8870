/**
 * Limits over a whole tree of processes, where no cgroup holds them: the tree is measured ten times a
 * second, so a run can exceed its limit for a moment before it is ended. Each is over all processes
 * of the run together, which no resource limit of the kernel is.
 */
import type { RunEnd, RunLimits } from "./api.ts";
import { type ProcessInfo, processTable, readProc, TICKS_PER_SECOND } from "./processes.ts";
import type { ProcessTree } from "./tree.ts";

const SAMPLE_MS = 100;

/** The kernel's page size in bytes: 4096 but on some ARM machines. */
const PAGE_BYTES =
  1024 * Number(/^KernelPageSize:\s+(\d+)/m.exec(readProc("/proc/self/smaps") ?? "")?.[1] ?? 4);

interface Watched {
  tree: ProcessTree;
  limits: RunLimits;
  exceeded: (why: NonNullable<RunEnd["error"]>) => void;
}

export class LimitWatch {
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  /** Measures a run until the answer is called, or until it is over a limit, which is told once. */
  add(tree: ProcessTree, limits: RunLimits, exceeded: Watched["exceeded"]): () => void {
    if (!hasLimit(limits)) return () => undefined;
    const watched: Watched = { tree, limits, exceeded };
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.#sample(), SAMPLE_MS);
    return () => this.#remove(watched);
  }

  #sample(): void {
    const table = processTable();
    for (const watched of this.#watched) {
      const why = measure(watched, watched.tree.members(table));
      if (why === null) continue;
      this.#remove(watched);
      watched.exceeded(why);
    }
  }

  #remove(watched: Watched): void {
    this.#watched.delete(watched);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

export function hasLimit(limits: RunLimits): boolean {
  return limits.max_memory_bytes !== null || limits.max_processes !== null || limits.max_cpu_seconds !== null;
}

function measure(watched: Watched, members: ProcessInfo[]): RunEnd["error"] {
  const { max_processes, max_memory_bytes, max_cpu_seconds } = watched.limits;
  if (max_processes !== null && members.length > max_processes)
    return over("LIMIT_PROCESSES", `${members.length} processes, of ${max_processes} allowed`);
  if (max_memory_bytes !== null) {
    const resident = members.reduce((sum, one) => sum + one.resident_pages * PAGE_BYTES, 0);
    // Resident sizes count shared pages once for each process; the true share is dearer to read.
    if (resident > max_memory_bytes) {
      const own = members.reduce((sum, one) => sum + proportionalBytes(one), 0);
      if (own > max_memory_bytes)
        return over("LIMIT_MEMORY", `${own} bytes of memory, of ${max_memory_bytes} allowed`);
    }
  }
  if (max_cpu_seconds !== null) {
    // Each process's time has that of the children it waited for.
    const ticks = members.reduce((sum, one) => sum + one.cpu_ticks, 0);
    if (ticks > max_cpu_seconds * TICKS_PER_SECOND)
      return over("LIMIT_CPU", `${ticks / TICKS_PER_SECOND} s of CPU time, of ${max_cpu_seconds} allowed`);
  }
  return null;
}

function over(code: string, message: string): RunEnd["error"] {
  return { code, message };
}

/** A process's memory with shared pages divided among those who share them. */
function proportionalBytes(process: ProcessInfo): number {
  const found = /^Pss:\s+(\d+) kB/m.exec(readProc(`/proc/${process.pid}/smaps_rollup`) ?? "");
  return found === null ? process.resident_pages * PAGE_BYTES : Number(found[1]) * 1024;
}
