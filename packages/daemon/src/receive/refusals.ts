import { REFUSAL_INTERVAL_MS, REFUSALS_PER_ROOM_AND_HOUR } from "@mx-agent/protocol";
import type { Settings } from "../state/settings.ts";

const PER_ROOM_MS = 3_600_000;
const MAX_SENDERS = 10_000;

export interface RefusalSummary {
  reasons: Record<string, number>;
  senders: number;
}

/** Where the counts since the last summary are kept. */
const KEPT = "early_refusals";

/**
 * What failed before its signature was verified: counted, answered sparingly, and summed up for the audit log
 * once a minute, so that a stranger can neither make a daemon chatter nor fill its disk.
 *
 * The counts are kept with each refusal, in its transaction, so that whoever ends the daemon does not wipe them out.
 * Over a kill something, or somebody, may be counted twice, and nothing too seldom.
 */
export class EarlyRefusals {
  readonly #now: () => number;
  readonly #settings: Pick<Settings, "get" | "set" | "delete">;
  readonly #answered = new Map<string, number>();
  readonly #rooms = new Map<string, number[]>();
  readonly #senders = new Set<string>();

  constructor(now: () => number, settings: Pick<Settings, "get" | "set" | "delete">) {
    this.#now = now;
    this.#settings = settings;
  }

  count(reason: string, sender: string): void {
    const { reasons = {}, senders = 0 } = this.#kept() ?? {};
    const isNew = !this.#senders.has(sender) && this.#senders.size < MAX_SENDERS;
    if (isNew) this.#senders.add(sender);
    const summary: RefusalSummary = {
      reasons: { ...reasons, [reason]: (reasons[reason] ?? 0) + 1 },
      senders: senders + (isNew ? 1 : 0),
    };
    this.#settings.set(KEPT, summary);
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

  /** Hands on what was counted since it was summed up last, if anything was, and begins again once that is done. */
  sumUp(record: (summary: RefusalSummary) => void): void {
    const summary = this.#kept();
    if (!summary) return;
    record(summary);
    this.#settings.delete(KEPT);
    this.#senders.clear();
  }

  #kept(): RefusalSummary | undefined {
    const kept: unknown = this.#settings.get(KEPT);
    return isSummary(kept) ? kept : undefined;
  }
}

function isSummary(value: unknown): value is RefusalSummary {
  return typeof value === "object" && value !== null && "reasons" in value && "senders" in value;
}
