import type { App } from "../app.ts";
import { isObject } from "../http/json.ts";
import { relationOf, type StoredEvent } from "./event.ts";
import { userLevel } from "./levels.ts";
import { evaluatePush, type PushEvent, type PushOutcome } from "./push-evaluate.ts";
import { lastStay } from "./stay.ts";
import { stateView } from "./timeline.ts";

/** A longer one, which only a hand-made membership event has, is nothing to look for in messages. */
const MAX_DISPLAY_NAME = 256;
/** How many events are looked at again when somebody reads up to the middle of what is new. */
const MAX_RECOUNT = 1_000;
/** How receipts name what they are for where it is no thread. */
const WHOLE_ROOM = "";
const MAIN_THREAD = "main";

/** Counts a new event as unread for those members whom their push rules notify of it. */
export function countUnread(app: App, event: StoredEvent): void {
  const { clientData } = app.store;
  const judge = judgeOf(app, event);
  for (const userId of app.store.rooms.joined(event.roomId)) {
    if (userId === event.sender || clientData.ignoredUsers(userId).has(event.sender)) continue;
    const { notify, highlight } = judge(userId);
    if (notify) clientData.addUnread(userId, event.roomId, highlight, event.pos);
  }
}

/**
 * Counts anew what somebody has not read: what came after the furthest of their receipts, public or private, of
 * the room or of the event's own thread ("Receiving notifications"). What came before they were there never
 * counted.
 */
export function recountUnread(app: App, userId: string, roomId: string): void {
  const { clientData, events } = app.store;
  const before = clientData.unread(userId, roomId);
  if (before.notify === 0 && before.highlight === 0) return;
  const readInThread = new Map<string, number>();
  const readUpTo = (thread: string) => {
    const known = readInThread.get(thread);
    if (known !== undefined) return known;
    const pos = furthestReceipt(app, userId, roomId, thread);
    readInThread.set(thread, pos);
    return pos;
  };
  const after = Math.max(readUpTo(WHOLE_ROOM), lastStay(app, userId, roomId)?.start ?? 0);
  const counts = { notify: 0, highlight: 0, pos: after };
  for (const event of events.backwards(roomId, { after, upTo: events.lastPos(roomId) }, MAX_RECOUNT)) {
    if (event.sender === userId || clientData.ignoredUsers(userId).has(event.sender)) continue;
    if (event.pos <= readUpTo(threadOf(event))) continue;
    const { notify, highlight } = judgeOf(app, event)(userId);
    counts.notify += Number(notify);
    counts.highlight += Number(highlight);
  }
  clientData.setUnread(userId, roomId, counts);
}

/** How far somebody says to have read, in one thread or the whole room; 0 where they said nothing. */
function furthestReceipt(app: App, userId: string, roomId: string, thread: string): number {
  const { clientData, events } = app.store;
  const positions = (["m.read", "m.read.private"] as const).map((type) => {
    const receipt = clientData.receipt(roomId, userId, type, thread);
    return receipt === undefined ? 0 : (events.byId(receipt.event_id)?.pos ?? 0);
  });
  return Math.max(...positions);
}

/** The thread that an event is in: its root's id, or `main`. */
function threadOf(event: StoredEvent): string {
  const relation = relationOf(event.content);
  return relation?.relType === "m.thread" ? relation.eventId : MAIN_THREAD;
}

/** What each user's push rules say to an event. */
function judgeOf(app: App, event: StoredEvent): (userId: string) => PushOutcome {
  const view = stateView(app, event.roomId);
  const memberCount = app.store.rooms.joined(event.roomId).size;
  const senderLevel = userLevel(view, event.sender);
  const notificationLevel = (key: string) => {
    const levels = view.get("m.room.power_levels", "")?.content.notifications;
    const level = isObject(levels) && Object.hasOwn(levels, key) ? levels[key] : undefined;
    return typeof level === "number" ? level : 50;
  };
  const pushEvent: PushEvent = {
    type: event.type,
    sender: event.sender,
    room_id: event.roomId,
    ...(event.stateKey === null ? {} : { state_key: event.stateKey }),
    content: event.content,
  };
  return (userId) => {
    const name = view.get("m.room.member", userId)?.content.displayname;
    const named = typeof name === "string" && name !== "" && name.length <= MAX_DISPLAY_NAME;
    const displayName = named ? name : undefined;
    const context = { displayName, memberCount, senderLevel, notificationLevel };
    return evaluatePush(app.pushRules.get(userId), pushEvent, context);
  };
}
