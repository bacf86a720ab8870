import type { App } from "../app.ts";
import { notFound } from "../http/errors.ts";
import { recountUnread } from "./unread.ts";

/**
 * Records how far somebody has read, and counts anew what they have not. A receipt of a thread marks that
 * thread alone, one of the thread `main` what is in no thread ("Threaded read receipts"); an empty
 * `threadId` is a receipt of the whole room.
 */
export function markRead(
  app: App,
  userId: string,
  roomId: string,
  type: "m.read" | "m.read.private",
  eventId: string,
  threadId: string,
): void {
  const { clientData, db, events, positions, rooms } = app.store;
  const event = events.byId(eventId);
  if (event === undefined || event.roomId !== roomId) throw notFound("there is no such event in the room");
  const before = clientData.receipt(roomId, userId, type, threadId);
  const beforePos = before === undefined ? 0 : (events.byId(before.event_id)?.pos ?? 0);
  // A receipt never moves backwards.
  if (beforePos >= event.pos) return;
  db.transaction(() => {
    const row = { user_id: userId, type, thread_id: threadId, event_id: eventId, ts: app.now() };
    clientData.setReceipt(roomId, row, positions.next());
    recountUnread(app, userId, roomId);
    const woken = type === "m.read" ? rooms.joined(roomId) : [userId];
    db.afterCommit(() => app.notifier.wake(woken));
  });
}
