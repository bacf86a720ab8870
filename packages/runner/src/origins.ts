/**
 * Which run an orphan is of. Its brand says so, unless it lowered its own limit, which nobody does by accident: such a
 * one hides from its run. The runner has adopted it all the same, so it is of a run that was there when it began, and whose
 * brand it can have been lowered from. It is ended with the first of those that ends.
 */
import { brandOf } from "./brand.ts";
import { type ProcessInfo, processInfo } from "./processes.ts";

export interface Origin {
  brand: number;
  /** Of its first process; null until that is there. */
  start_time: number | null;
  /** Whether nothing gets out of it: in a PID namespace orphans are adopted there. */
  confined: boolean;
}

export class Origins {
  readonly #live = new Set<Origin>();

  /** Call it before the first process is there, so that nobody takes that one for a stray. */
  begin(brand: number, confined: boolean): Origin {
    const origin: Origin = { brand, start_time: null, confined };
    this.#live.add(origin);
    return origin;
  }

  /** Call it when nothing of the run is left. */
  end(origin: Origin): void {
    this.#live.delete(origin);
  }

  /** Whether a process that the runner has adopted is that run's. */
  isOf(origin: Origin, process: ProcessInfo): boolean {
    const brand = brandOf(process.pid);
    if (brand === origin.brand) return true;
    // Who is not privileged cannot raise it again.
    if (brand === null || brand > origin.brand || origin.confined) return false;
    if (origin.start_time === null || process.start_time < origin.start_time) return false;
    for (const other of this.#live)
      if (other.brand === brand && (other.start_time ?? 0) <= process.start_time) return false;
    // The runner's own helpers stay in its session.
    return process.sid !== ownSession() && maySignal(process.pid);
  }
}

const ownSession = () => processInfo(process.pid)?.sid;

/** Another user's would only be waited for. */
function maySignal(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && "code" in error) return false;
    throw error;
  }
}
