import type { App } from "../app.ts";
import { membershipOf, type StoredEvent } from "./event.ts";

/** A value that holds from a position on, until the next one. */
interface Step {
  readonly pos: number;
  readonly value: string;
}

/** Says which events of a room a user may see ("Room history visibility"). */
export type Visibility = (event: StoredEvent) => boolean;

/**
 * The rule of the specification over two histories: the user's membership and the room's visibility.
 * An event that changes one of the two may be seen when either side of it allows that.
 */
export function visibilityOf(
  memberships: readonly Step[],
  visibilities: readonly Step[],
): (pos: number) => boolean {
  const lastJoin = memberships.findLast((step) => step.value === "join")?.pos ?? 0;
  const lastStep = memberships.at(-1);
  // Somebody who is still in the room saw everything up to now, not just up to the last join.
  const joinedUntil = lastStep?.value === "join" ? Number.POSITIVE_INFINITY : lastJoin;
  const allowed = (membership: string, visibility: string, pos: number) =>
    visibility === "world_readable" ||
    membership === "join" ||
    (visibility === "invited" && membership === "invite") ||
    (visibility === "shared" && joinedUntil > pos);
  return (pos) => {
    const memberBefore = valueBefore(memberships, pos, "leave");
    const memberAfter = valueAt(memberships, pos, "leave");
    const visibleBefore = valueBefore(visibilities, pos, "shared");
    const visibleAfter = valueAt(visibilities, pos, "shared");
    // Whoever is invited, removed or banned sees the event that says so.
    if (memberships.some((step) => step.pos === pos)) return true;
    return (
      allowed(memberAfter, visibleAfter, pos) ||
      (memberBefore !== memberAfter && allowed(memberBefore, visibleAfter, pos)) ||
      (visibleBefore !== visibleAfter && allowed(memberAfter, visibleBefore, pos))
    );
  };
}

function valueAt(steps: readonly Step[], pos: number, initial: string): string {
  return steps.findLast((step) => step.pos <= pos)?.value ?? initial;
}

function valueBefore(steps: readonly Step[], pos: number, initial: string): string {
  return steps.findLast((step) => step.pos < pos)?.value ?? initial;
}

/** What `userId` may see of a room. */
export function visibleTo(app: App, userId: string, roomId: string): Visibility {
  const { events } = app.store;
  const memberships = events
    .stateHistory(roomId, "m.room.member", userId)
    .map((event) => ({ pos: event.pos, value: membershipOf(event) ?? "leave" }));
  const visibilities = events.stateHistory(roomId, "m.room.history_visibility", "").map((event) => {
    const value = event.content.history_visibility;
    return { pos: event.pos, value: typeof value === "string" ? value : "shared" };
  });
  const visible = visibilityOf(memberships, visibilities);
  return (event) => visible(event.pos);
}
