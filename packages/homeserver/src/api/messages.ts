import type { App } from "../app.ts";
import { badJson, invalidParam, missingParam, notFound, notJson } from "../http/errors.ts";
import { isObject, type JsonObject, queryInteger } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { viewLimit } from "../rooms/access.ts";
import { clientEvent, stateEvent } from "../rooms/client-event.ts";
import type { StoredEvent } from "../rooms/event.ts";
import { type RoomView, viewOf } from "../rooms/visibility.ts";
import { parseRoomEventFilter, type RoomEventFilter } from "../sync/filter.ts";
import { pageToken, parseToken } from "../sync/token.ts";

const base = "/_matrix/client/v3/rooms/{roomId}";
const MAX_LIMIT = 1_000;
/** How many events one request looks at when its filter lets few through. */
const MAX_SCAN = 5_000;
/** How much content one page carries; the next page has the rest. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;

/** "Getting events for a room": messages, one event, an event's context. */
export function messageRoutes(app: App): Route[] {
  return [
    route("GET", `${base}/messages`, (request) => messages(app, request)),
    route("GET", `${base}/event/{eventId}`, (request) => oneEvent(app, request)),
    route("GET", `${base}/context/{eventId}`, (request) => context(app, request)),
  ];
}

interface Page {
  readonly events: StoredEvent[];
  /** Where the next page begins; undefined when there is none. */
  readonly end: number | undefined;
}

function messages(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const direction = request.query.get("dir");
  if (direction !== "b" && direction !== "f")
    throw direction === null ? missingParam("dir") : invalidParam("dir is b or f");
  const limit = viewLimit(app, request.userId, roomId);
  const { last } = app.store.positions;
  const fromText = request.query.get("from");
  const toText = request.query.get("to");
  const from = fromText === null ? (direction === "b" ? limit : 0) : parseToken(fromText, last).pos;
  const to = toText === null ? undefined : parseToken(toText, last).pos;
  const filter = filterOf(request);
  const count = queryInteger(request.query, "limit", filter.limit ?? 10, 0, MAX_LIMIT);
  const range =
    direction === "b"
      ? { after: to ?? 0, upTo: Math.min(from, limit) }
      : { after: from, upTo: Math.min(to ?? limit, limit) };
  const view = viewOf(app, request.userId, roomId);
  const page = readPage(app, view, roomId, direction, range, count, filter);
  const state = filter.lazyLoadMembers ? membersOf(app, roomId, page.events, limit) : [];
  return {
    start: pageToken(from),
    ...(page.end === undefined ? {} : { end: pageToken(page.end) }),
    chunk: page.events.map((event) => clientEvent(app, event, request.session, view)),
    ...(state.length === 0 ? {} : { state: state.map((event) => stateEvent(app, event)) }),
  };
}

/** Reads events in one direction until `count` passed the filter and the user's view of the room. */
function readPage(
  app: App,
  view: RoomView,
  roomId: string,
  direction: "b" | "f",
  range: { after: number; upTo: number },
  count: number,
  filter: RoomEventFilter,
): Page {
  const found: StoredEvent[] = [];
  if (!filter.matchesRoom(roomId)) return { events: found, end: undefined };
  const { events } = app.store;
  let { after, upTo } = range;
  let bytes = 0;
  const full = () => found.length >= count || bytes >= MAX_PAGE_BYTES;
  const place = () => (direction === "b" ? upTo : after);
  for (let scanned = 0; scanned < MAX_SCAN && !full(); ) {
    const size = Math.min(count, 200) + 1;
    const chunk =
      direction === "b"
        ? events.backwards(roomId, { after, upTo }, size)
        : events.forwards(roomId, { after, upTo }, size);
    for (const event of chunk) {
      if (full()) return { events: found, end: place() };
      if (direction === "b") upTo = event.pos - 1;
      else after = event.pos;
      if (!filter.matches(event) || !view.sees(event)) continue;
      found.push(event);
      bytes += event.size;
    }
    if (chunk.length < size) return { events: found, end: undefined };
    scanned += chunk.length;
  }
  return { events: found, end: place() };
}

function filterOf(request: ApiRequest): RoomEventFilter {
  const text = request.query.get("filter");
  return parseRoomEventFilter(text === null || text === "" ? {} : parseJson(text));
}

function parseJson(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw notJson("filter is not JSON");
  }
  if (!isObject(value)) throw badJson("filter must be an object");
  return value;
}

/** The senders' membership as it was at `upTo`: what came after a stay is not the reader's to see. */
function membersOf(app: App, roomId: string, events: readonly StoredEvent[], upTo: number): StoredEvent[] {
  const senders = new Set(events.map((event) => event.sender));
  return [...senders]
    .map((userId) => app.store.events.stateEventAt(roomId, "m.room.member", userId, upTo))
    .filter((event) => event !== undefined);
}

/** An event of the room that the user may see; M_NOT_FOUND otherwise, so that nobody learns of others. */
export function visibleEvent(app: App, view: RoomView, roomId: string, eventId: string): StoredEvent {
  const event = app.store.events.byId(eventId);
  if (event === undefined || event.roomId !== roomId || !view.sees(event)) {
    throw notFound("there is no such event, or you may not see it");
  }
  return event;
}

function oneEvent(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const view = viewOf(app, request.userId, roomId);
  const event = visibleEvent(app, view, roomId, request.param("eventId"));
  return clientEvent(app, event, request.session, view);
}

function context(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const end = viewLimit(app, request.userId, roomId);
  const view = viewOf(app, request.userId, roomId);
  const event = visibleEvent(app, view, roomId, request.param("eventId"));
  const filter = filterOf(request);
  const limit = queryInteger(request.query, "limit", filter.limit ?? 10, 0, MAX_LIMIT);
  const half = Math.floor(limit / 2);
  const before = readPage(app, view, roomId, "b", { after: 0, upTo: event.pos - 1 }, half, filter);
  const after = readPage(app, view, roomId, "f", { after: event.pos, upTo: end }, limit - half, filter);
  const shown = [...before.events, event, ...after.events];
  const state = filter.lazyLoadMembers
    ? membersOf(app, roomId, shown, end)
    : app.store.events.stateAt(roomId, after.events.at(-1)?.pos ?? event.pos);
  const json = (item: StoredEvent) => clientEvent(app, item, request.session, view);
  return {
    start: pageToken((before.events.at(-1)?.pos ?? event.pos) - 1),
    end: pageToken(after.events.at(-1)?.pos ?? event.pos),
    event: json(event),
    events_before: before.events.map(json),
    events_after: after.events.map(json),
    state: state.map((event) => stateEvent(app, event)),
  };
}
