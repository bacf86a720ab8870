import { REFUSAL_INTERVAL_MS, REFUSALS_PER_ROOM_AND_HOUR } from "@mx-agent/protocol";

const PER_ROOM_MS = 3_600_000;
const MAX_SENDERS = 10_000;

export interface RefusalSummary {
  reasons: Record<string, number>;
  senders: number;
}

/**
 * What failed before its signature was verified: counted, answered sparingly, and summed up for the audit log
 * once a minute, so that a stranger can neither make a daemon chatter nor fill its disk.
 */
export class EarlyRefusals {
  readonly #now: () => number;
  readonly #answered = new Map<string, number>();
  readonly #rooms = new Map<string, number[]>();
  #reasons = new Map<string, number>();
  #senders = new Set<string>();

  constructor(now: () => number) {
    this.#now = now;
  }

  count(reason: string, sender: string): void {
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
    if (this.#senders.size < MAX_SENDERS) this.#senders.add(sender);
  }

  /** Whether one of this sender may be answered in that room; if so, it counts as answered. */
  mayAnswer(sender: string, room_id: string): boolean {
    const now = this.#now();
    for (const [known, at] of this.#answered)
      if (now - at >= REFUSAL_INTERVAL_MS) this.#answered.delete(known);
    if (this.#answered.has(sender) || this.#answered.size >= MAX_SENDERS) return false;
    const recent = (this.#rooms.get(room_id) ?? []).filter((at) => now - at < PER_ROOM_MS);
    if (recent.length >= REFUSALS_PER_ROOM_AND_HOUR) return false;
    this.#rooms.set(room_id, [...recent, now]);
    this.#answered.set(sender, now);
    return true;
  }

  /** What was counted since the last call; undefined when nothing was. */
  takeSummary(): RefusalSummary | undefined {
    if (this.#reasons.size === 0) return undefined;
    const summary = { reasons: Object.fromEntries(this.#reasons), senders: this.#senders.size };
    this.#reasons = new Map();
    this.#senders = new Set();
    return summary;
  }
}
