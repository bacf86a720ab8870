/**
 * A mark that every descendant of a run carries and cannot shed by accident: its hard limit for file
 * locks, which Linux shows to everybody and has not enforced since 2.4. Limits are inherited over fork,
 * exec and setsid, an ordinary process can't raise them again, and nobody lowers this one. So a daemon
 * whose parents are gone can still be told apart from that of the run beside it. Each runner counts down
 * from a random number of 51 bits: no other runner of the machine has the same brands.
 */
import { type Native, RLIMIT } from "./native.ts";
import { readProc } from "./processes.ts";

/** Unlimited, which is usual, becomes this first, so that a brand is exact as a number. */
const HIGHEST = 2 ** 52;

export class Brands {
  readonly #native: Native | string;
  #next: number | null;

  constructor(native: Native | string) {
    this.#native = native;
    const own = typeof native === "string" ? 0 : (native.limit(0, RLIMIT.locks)?.hard ?? 0);
    const half = Math.floor(Math.min(own, HIGHEST) / 2);
    // A limit that somebody has set low leaves no room for numbers of our own.
    this.#next = half > 2 ** 32 ? half + Math.floor(Math.random() * half) : null;
  }

  /** Brands this process, and with it what it spawns next. null: this system has no brands to give. */
  take(): number | null {
    const brand = this.#next;
    if (brand === null || typeof this.#native === "string") return null;
    if (this.#native.limit(0, RLIMIT.locks, { soft: brand, hard: brand }) === null) return null;
    this.#next = brand - 1;
    return brand;
  }
}

/** The brand of a process; null when it is gone. */
export function brandOf(pid: number): number | null {
  const line = /^Max file locks\s+\S+\s+(\d+)/m.exec(readProc(`/proc/${pid}/limits`) ?? "");
  return line === null ? null : Number(line[1]);
}
