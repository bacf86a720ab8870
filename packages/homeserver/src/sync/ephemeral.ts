import type { App } from "../app.ts";
import type { JsonObject } from "../http/json.ts";
import type { Range } from "../store/events.ts";

interface Ephemeral {
  readonly type: string;
  readonly content: JsonObject;
}

/** Receipts and typing that changed within the range. Other people's private receipts stay private. */
export function ephemeralEvents(
  app: App,
  userId: string,
  roomId: string,
  range: Range,
  withReceipts: boolean,
): Ephemeral[] {
  const events: Ephemeral[] = [];
  const receipts = new Map<string, Map<string, [string, JsonObject][]>>();
  const rows = withReceipts ? app.store.clientData.receiptsSince(roomId, range.after, range.upTo) : [];
  for (const row of rows) {
    if (row.type === "m.read.private" && row.user_id !== userId) continue;
    const byType = receipts.get(row.event_id) ?? new Map<string, [string, JsonObject][]>();
    receipts.set(row.event_id, byType);
    const entry: JsonObject = { ts: row.ts, ...(row.thread_id === "" ? {} : { thread_id: row.thread_id }) };
    byType.set(row.type, [...(byType.get(row.type) ?? []), [row.user_id, entry]]);
  }
  if (receipts.size > 0) {
    const content = Object.fromEntries(
      [...receipts].map(([eventId, byType]) => [
        eventId,
        Object.fromEntries([...byType].map(([type, users]) => [type, Object.fromEntries(users)])),
      ]),
    );
    events.push({ type: "m.receipt", content });
  }
  const typing = app.typing.since(roomId, range.after);
  if (typing !== undefined) {
    events.push({ type: "m.typing", content: { user_ids: typing } });
  }
  return events;
}
