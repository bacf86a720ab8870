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
      for (const member of rooms.joined(event.roomId))
        if (member !== userId) (joined ? changed : maybeLeft).add(member);
    } else if (rooms.joined(event.roomId).has(userId)) {
      (joined ? changed : maybeLeft).add(other);
    }
  }
  return {
    changed: [...changed].filter(shares),
    left: [...maybeLeft].filter((other) => !shares(other)),
  };
}

/**
 * The device lists of /sync. Beside whose devices changed it names everybody whose membership it tells of, as clients
 * know it from other servers: to look somebody up once too often is harmless.
 */
export function syncedDeviceLists(
  app: App,
  userId: string,
  range: Range,
  fullState: boolean,
): { changed: string[]; left: string[] } {
  const { events, rooms } = app.store;
  const { changed, left } = deviceListChanges(app, userId, range);
  const joined = new Set(rooms.joinedRooms(userId));
  const named = new Set<string>();
  for (const event of events.memberEvents(range)) {
    if (event.stateKey === null || !joined.has(event.roomId)) continue;
    if (present.has(membershipOf(event))) named.add(event.stateKey);
    else named.delete(event.stateKey);
  }
  for (const roomId of fullState ? joined : [])
    for (const membership of ["join", "invite", "knock"] as const)
      for (const member of rooms.members(roomId, membership)) named.add(member);
  // Who was invited back may come back: that one's devices are still followed.
  return { changed: [...new Set([...changed, ...named])], left: left.filter((user) => !named.has(user)) };
}

const present: ReadonlySet<unknown> = new Set(["join", "invite", "knock"]);
