import type { Readable } from "node:stream";
import { failpoint } from "@mx-agent/base";
import { systemCode } from "./identity.ts";
import type { StreamSpool } from "./spool.ts";

/** What both streams of a run may write together. */
export class OutputBudget {
  /** Whether something was thrown away. */
  truncated = false;
  #left: number;
  readonly #exceeded: () => void;

  constructor(bytes: number, exceeded: () => void) {
    this.#left = bytes;
    this.#exceeded = exceeded;
  }

  /** How much of `wanted` bytes may still be kept. */
  take(wanted: number): number {
    const granted = Math.min(wanted, this.#left);
    this.#left -= granted;
    if (granted < wanted && !this.truncated) {
      this.truncated = true;
      this.#exceeded();
    }
    return granted;
  }

  /** Nothing more can be kept: the spool is full. */
  exhaust(): void {
    this.truncated = true;
    this.#left = 0;
  }
}

export interface PumpEvents {
  /** More is in the spool. */
  more(): void;
  /** The spool does not take it; the code is the system's. */
  failed(code: string, message: string): void;
}

/**
 * Moves a pipe into its spool until the pipe's end, at the disk's pace: what is not yet written is not
 * read. Over the budget it reads on and throws away, so that whoever writes can end.
 */
export async function pump(
  pipe: Readable,
  spool: StreamSpool,
  budget: OutputBudget,
  events: PumpEvents,
): Promise<void> {
  try {
    for await (const chunk of pipe) {
      if (!Buffer.isBuffer(chunk)) continue;
      const granted = budget.take(chunk.length);
      if (granted === 0) continue;
      failpoint("runner.spool.before");
      const before = spool.bytes;
      try {
        await spool.append(chunk.subarray(0, granted));
      } catch (error) {
        events.failed(systemCode(error), error instanceof Error ? error.message : String(error));
      }
      failpoint("runner.spool.after");
      if (spool.bytes > before) events.more();
    }
  } catch (error) {
    // A pipe that was destroyed, or that the kernel took away, has ended.
    if (!(error instanceof Error)) throw error;
  }
}
