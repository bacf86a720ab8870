import type { TrustEntry } from "@mx-agent/ipc";
import { pairs, table } from "./table.ts";

export function renderTrustEntries(entries: readonly TrustEntry[], columns?: number): string {
  if (entries.length === 0) return "no keys";
  return table(
    ["AGENT", "USER", "STATUS", "FINGERPRINT", "EXPIRES", "ROOM"],
    entries.map((entry) => [
      entry.agent_id,
      entry.user_id,
      entry.legacy ? `${entry.status} (legacy)` : entry.status,
      entry.fingerprint,
      entry.expires_at ?? "never",
      entry.room_id,
    ]),
    columns,
  );
}

export function renderTrustEntry(entry: TrustEntry): string {
  return pairs([
    [entry.status, `${entry.agent_id} of ${entry.user_id}`],
    ["room", entry.room_id],
    ["fingerprint", entry.fingerprint],
    ["expires", entry.expires_at ?? "never"],
    ["signatures without binding", entry.legacy ? "accepted" : null],
  ]);
}
