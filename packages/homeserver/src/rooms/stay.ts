import type { App } from "../app.ts";
import { membershipOf } from "./event.ts";

/**
 * The last time that somebody was in a room: the position at which it began, and the one at which they left,
 * were removed or banned. Undefined for who was never there.
 */
export function lastStay(
  app: App,
  userId: string,
  roomId: string,
): { start: number; end: number | undefined } | undefined {
  const history = app.store.events.stateHistory(roomId, "m.room.member", userId);
  const last = history.findLastIndex((event) => membershipOf(event) === "join");
  if (last < 0) return undefined;
  // Who is in the room and takes another name joins it again, and was there before.
  const first = history.findLastIndex((event, at) => at < last && membershipOf(event) !== "join") + 1;
  return { start: history[first]?.pos ?? 0, end: history[last + 1]?.pos };
}
