import type { App } from "../app.ts";
import { membershipOf } from "../rooms/event.ts";
import type { Range } from "../store/events.ts";

/** Tells everyone who shares a room with the user that the user's devices or keys changed. */
export function announceDeviceChange(app: App, userId: string): void {
  const { db, crypto, positions, rooms } = app.store;
  crypto.deviceListChanged(userId, positions.next());
  db.afterCommit(() => app.notifier.wake([userId, ...rooms.neighbours(userId)]));
}

/**
 * Whose devices a user must look up again, and whom they need not track any more ("Tracking the device
 * list for a user"): changes of those who share a room, people who came, people who went.
 */
export function deviceListChanges(
  app: App,
  userId: string,
  range: Range,
): { changed: string[]; left: string[] } {
  const { crypto, events, rooms } = app.store;
  const changed = new Set<string>();
  const maybeLeft = new Set<string>();
  const shares = (other: string) => other === userId || rooms.shareRoom(userId, other);
  for (const other of crypto.deviceListChanges(range.after, range.upTo))
    if (shares(other)) changed.add(other);
  for (const event of events.memberEvents(range)) {
    const other = event.stateKey;
    if (other === null) continue;
    const before = events.stateEventAt(event.roomId, "m.room.member", other, event.pos - 1);
    const joined = membershipOf(event) === "join";
    if (joined === (membershipOf(before) === "join")) continue;
    if (other === userId) {
      const members = joined ? rooms.joined(event.roomId) : membersSince(app, event.roomId, range.after);
      for (const member of members) if (member !== userId) (joined ? changed : maybeLeft).add(member);
    } else if (rooms.joined(event.roomId).has(userId)) {
      (joined ? changed : maybeLeft).add(other);
    }
  }
  return {
    changed: [...changed].filter(shares),
    left: [...maybeLeft].filter((other) => !shares(other)),
  };
}

/** Those that somebody who left shared the room with after a position: still there, or gone since. */
function membersSince(app: App, roomId: string, after: number): string[] {
  const { rooms } = app.store;
  const gone = (["leave", "ban"] as const).flatMap((membership) => rooms.members(roomId, membership));
  return [
    ...rooms.joined(roomId),
    ...gone.filter((userId) => (rooms.membership(userId, roomId)?.pos ?? 0) > after),
  ];
}
