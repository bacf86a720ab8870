import type { App } from "../app.ts";
import { membershipOf, type StoredEvent } from "./event.ts";

/** A value that holds from a position on, until the next one. */
interface Step {
  readonly pos: number;
  readonly value: string;
}

/** What a user may see of a room ("Room history visibility"). */
export interface RoomView {
  sees(event: StoredEvent): boolean;
  /** The user's membership when an event was sent; of their own membership event, what it made it. */
  membershipAt(event: StoredEvent): string;
}

/**
 * The rule of the specification over two histories: the user's membership and the room's visibility.
 * An event that changes one of the two may be seen when either side of it allows that.
 */
export function visibilityOf(
  memberships: readonly Step[],
  visibilities: readonly Step[],
): (pos: number) => boolean {
  const lastJoin = memberships.findLast((step) => step.value === "join")?.pos ?? 0;
  // Somebody who is still in the room saw everything up to now, not just up to the last join.
  const joinedUntil = memberships.at(-1)?.value === "join" ? Number.POSITIVE_INFINITY : lastJoin;
  const allowed = (membership: string, visibility: string, pos: number) =>
    visibility === "world_readable" ||
    membership === "join" ||
    (visibility === "invited" && membership === "invite") ||
    (visibility === "shared" && joinedUntil > pos);
  return (pos) => {
    // Whoever is invited, removed or banned sees the event that says so.
    if (memberships.some((step) => step.pos === pos)) return true;
    const membership = valueAt(memberships, pos, "leave");
    return (
      allowed(membership, valueAt(visibilities, pos, "shared"), pos) ||
      allowed(membership, valueAt(visibilities, pos - 1, "shared"), pos)
    );
  };
}

function valueAt(steps: readonly Step[], pos: number, initial: string): string {
  return steps.findLast((step) => step.pos <= pos)?.value ?? initial;
}

/** What `userId` may see of a room. */
export function viewOf(app: App, userId: string, roomId: string): RoomView {
  const { clientData, events, rooms } = app.store;
  // Whoever forgot a room sees it as if they had never been there.
  const forgotten = rooms.membership(userId, roomId)?.forgotten === 1;
  const memberships = (forgotten ? [] : events.stateHistory(roomId, "m.room.member", userId)).map(
    (event) => ({ pos: event.pos, value: membershipOf(event) ?? "leave" }),
  );
  const visibilities = events.stateHistory(roomId, "m.room.history_visibility", "").map((event) => {
    const value = event.content.history_visibility;
    return { pos: event.pos, value: typeof value === "string" ? value : "shared" };
  });
  const visible = visibilityOf(memberships, visibilities);
  const ignored = clientData.ignoredUsers(userId);
  return {
    // Of somebody who is ignored, only what shapes the room is shown.
    sees: (event) => visible(event.pos) && (event.stateKey !== null || !ignored.has(event.sender)),
    membershipAt: (event) => valueAt(memberships, event.pos, "leave"),
  };
}
