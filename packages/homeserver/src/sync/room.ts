import type { App } from "../app.ts";
import type { JsonObject } from "../http/json.ts";
import { strippedEvent, syncEvent, syncStateEvent, type Viewer } from "../rooms/client-event.ts";
import type { StoredEvent } from "../rooms/event.ts";
import { type RoomView, viewOf } from "../rooms/visibility.ts";
import type { Range } from "../store/events.ts";
import type { SyncFilter } from "./filter.ts";
import { roomHeroes, roomSummary } from "./summary.ts";
import { pageToken } from "./token.ts";

const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 500;
/** How far back a filtered timeline is searched before it is called limited. */
const MAX_SCAN = 2_000;

/** How much content the timelines of one answer may still carry; a room shows its last event in any case. */
export interface TimelineBytes {
  left: number;
}

export const MAX_TIMELINE_BYTES: number = 16 * 1024 * 1024;

/** What part of a room's story is asked for. */
export interface RoomWindow {
  readonly roomId: string;
  /** What the client has; `after: 0` when it has nothing of the room. */
  readonly range: Range;
  /** The whole state is wanted, not just what changed. */
  readonly fullState: boolean;
  /** The client sees this room for the first time in the middle of its stream. */
  readonly newlyJoined: boolean;
  /** After this position the viewer learns what became of themselves, and no more. */
  readonly stayEnd: number;
  /** Shared by the rooms of one answer. */
  readonly bytes: TimelineBytes;
}

interface Timeline {
  readonly events: StoredEvent[];
  readonly limited: boolean;
  /** The timeline begins after this position. */
  readonly start: number;
}

/** `timeline`, `state` and `summary` of a joined or left room; undefined when nothing happened. */
export function roomHistory(
  app: App,
  viewer: Viewer,
  window: RoomWindow,
  filter: SyncFilter,
): JsonObject | undefined {
  const { range, roomId, fullState } = window;
  if (!fullState && app.store.events.lastPos(roomId) <= range.after) return undefined;
  const view = viewOf(app, viewer.userId, roomId);
  const timeline = readTimeline(app, viewer.userId, view, window, filter);
  const state = readState(app, viewer, window, timeline, filter);
  if (!fullState && timeline.events.length === 0 && state.length === 0 && !timeline.limited) return undefined;
  // Whoever has all the members can count them.
  const moved = fullState || [...timeline.events, ...state].some((event) => event.type === "m.room.member");
  const summary = moved && filter.state.lazyLoadMembers ? roomSummary(app, viewer.userId, roomId) : {};
  return {
    timeline: {
      events: timeline.events.map((event) => filter.shape(syncEvent(app, event, viewer, view))),
      limited: timeline.limited,
      prev_batch: pageToken(timeline.start),
    },
    state: {
      events: state.map((event) => filter.shape(syncStateEvent(app, event, event.pos <= range.after))),
    },
    summary,
  };
}

function isMembershipOf(event: StoredEvent, userId: string): boolean {
  return event.type === "m.room.member" && event.stateKey === userId;
}

function readTimeline(
  app: App,
  userId: string,
  view: RoomView,
  window: RoomWindow,
  filter: SyncFilter,
): Timeline {
  const { roomId, range } = window;
  const limit = Math.max(1, Math.min(filter.timeline.limit ?? DEFAULT_LIMIT, MAX_LIMIT));
  if (!filter.timeline.matchesRoom(roomId)) return { events: [], limited: false, start: range.upTo };
  const found: StoredEvent[] = [];
  let upTo = range.upTo;
  for (let scanned = 0; scanned < MAX_SCAN; ) {
    const chunk = app.store.events.backwards(roomId, { after: range.after, upTo }, limit + 1);
    for (const event of chunk) {
      if (!filter.timeline.matches(event) || !view.sees(event)) continue;
      if (event.pos > window.stayEnd && !isMembershipOf(event, userId)) continue;
      if (found.length === limit || (found.length > 0 && window.bytes.left <= 0))
        return { events: found.reverse(), limited: true, start: event.pos };
      found.push(event);
      window.bytes.left -= event.size;
    }
    if (chunk.length <= limit)
      return { events: found.reverse(), limited: window.newlyJoined, start: range.after };
    scanned += chunk.length;
    upTo = (chunk.at(-1)?.pos ?? 1) - 1;
  }
  return { events: found.reverse(), limited: true, start: upTo };
}

/**
 * The state that the client needs beside the timeline: what held when the timeline began, and changes
 * within it that a filter took out of it.
 */
function readState(
  app: App,
  viewer: Viewer,
  window: RoomWindow,
  timeline: Timeline,
  filter: SyncFilter,
): StoredEvent[] {
  const { events } = app.store;
  const { roomId, range, fullState } = window;
  const upTo = Math.min(range.upTo, window.stayEnd);
  const start = Math.min(timeline.start, upTo);
  // Within a whole timeline, what a filter took out of it is what the client does not want to hear of.
  const whole = !fullState && !timeline.limited;
  const after = fullState ? 0 : range.after;
  const shown = new Set(timeline.events.map((event) => event.eventId));
  const byKey = new Map<string, StoredEvent>();
  const add = (event: StoredEvent) => {
    if (!shown.has(event.eventId)) byKey.set(`${event.type}\u0000${event.stateKey}`, event);
  };
  if (start > after) events.stateChanges(roomId, { after, upTo: start }).forEach(add);
  if (!whole) events.stateChanges(roomId, { after: start, upTo }).forEach(add);
  const state = [...byKey.values()];
  if (!filter.state.lazyLoadMembers) return state.filter((event) => keeps(filter, event));
  const heroes = fullState ? roomHeroes(app, viewer.userId, roomId) : [];
  const senders = new Set([...timeline.events.map((event) => event.sender), ...heroes, viewer.userId]);
  const known = new Set(
    [...state, ...timeline.events].map((event) => `${event.type}\u0000${event.stateKey}`),
  );
  const needed = [...senders]
    .filter((userId) => !known.has(`m.room.member\u0000${userId}`))
    .map((userId) => events.stateEventAt(roomId, "m.room.member", userId, start))
    .filter((event) => event !== undefined);
  return [...state, ...needed].filter(
    (event) =>
      keeps(filter, event) &&
      (!fullState ||
        event.type !== "m.room.member" ||
        (event.stateKey !== null && senders.has(event.stateKey))),
  );
}

function keeps(filter: SyncFilter, event: StoredEvent): boolean {
  return filter.state.matches(event) && filter.state.matchesRoom(event.roomId);
}

const strippedTypes = [
  "m.room.create",
  "m.room.join_rules",
  "m.room.name",
  "m.room.avatar",
  "m.room.topic",
  "m.room.canonical_alias",
  "m.room.encryption",
] as const;

/** The stripped state that comes with an invite or a knock. */
export function strippedState(app: App, roomId: string, userId: string): JsonObject[] {
  const { events } = app.store;
  const own = events.state(roomId, "m.room.member", userId);
  const inviter =
    own === undefined || own.sender === userId
      ? undefined
      : events.state(roomId, "m.room.member", own.sender);
  return [...strippedTypes.map((type) => events.state(roomId, type, "")), inviter, own]
    .filter((event) => event !== undefined)
    .map(strippedEvent);
}
