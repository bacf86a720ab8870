/**
 * A mark that every descendant of a run carries and cannot shed by accident: its hard limit for POSIX
 * message queues, lowered by one byte for each run. Limits are inherited over fork, exec and setsid,
 * an ordinary process can't raise them again, nobody lowers this one, and everybody may read it. So
 * a daemon whose parents are gone can still be told apart from that of the run beside it.
 */
import { type Native, RLIMIT } from "./native.ts";
import { readProc } from "./processes.ts";

/** An unlimited or huge limit is lowered to this first, so that it is exact as a number. */
const HIGHEST = 2 ** 31;

export class Brands {
  readonly #native: Native | string;
  #next: number | null;

  /** Starts below this process's own limit and below every brand in `used`. */
  constructor(native: Native | string, used: Iterable<number>) {
    this.#native = native;
    const own = typeof native === "string" ? 0 : (native.limit(0, RLIMIT.message_queues)?.hard ?? 0);
    let lowest = Math.min(own, HIGHEST);
    for (const brand of used) lowest = Math.min(lowest, brand);
    this.#next = lowest > 1 ? lowest - 1 : null;
  }

  /** Brands this process, and with it what it spawns next. null: this system has no brands to give. */
  take(): number | null {
    const brand = this.#next;
    if (brand === null || typeof this.#native === "string") return null;
    if (this.#native.limit(0, RLIMIT.message_queues, { soft: brand, hard: brand }) === null) return null;
    this.#next = brand > 1 ? brand - 1 : null;
    return brand;
  }
}

/** The brand of a process; null when it is gone. */
export function brandOf(pid: number): number | null {
  const line = /^Max msgqueue size\s+\S+\s+(\d+)/m.exec(readProc(`/proc/${pid}/limits`) ?? "");
  return line === null ? null : Number(line[1]);
}
