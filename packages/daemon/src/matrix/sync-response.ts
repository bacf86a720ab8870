import { isRecord } from "./types.ts";

/** A room event as /sync and /messages hand it out. `content` is unparsed. */
export interface RawEvent {
  type: string;
  sender: string;
  /** Empty in the stripped state of an invitation. */
  event_id: string;
  state_key?: string;
  content: unknown;
  origin_server_ts: number;
}

export interface JoinedRoom {
  room_id: string;
  /** What forms the state after this response, in the order in which it is to be set. */
  state: RawEvent[];
  timeline: RawEvent[];
  limited: boolean;
  prev_batch: string | null;
}

/** What we take from an answer to /sync, before the SDK sees it: the SDK changes what it is given. */
export interface SyncBatch {
  next_batch: string;
  account_data: { type: string; content: unknown }[];
  joined: JoinedRoom[];
  invited: { room_id: string; state: RawEvent[] }[];
  left: string[];
}

/**
 * Parses the body of an answer to /sync (Client-Server API, GET /_matrix/client/v3/sync). An event that is
 * malformed is skipped; a string says why the whole body is none.
 */
export function parseSyncResponse(body: string): SyncBatch | string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return "it is not JSON";
  }
  if (!isRecord(value)) return "it is not an object";
  if (typeof value.next_batch !== "string" || value.next_batch === "") return "next_batch is missing";
  const rooms = isRecord(value.rooms) ? value.rooms : {};
  return {
    next_batch: value.next_batch,
    account_data: eventList(value.account_data).flatMap((event) =>
      isRecord(event) && typeof event.type === "string" ? [{ type: event.type, content: event.content }] : [],
    ),
    joined: entries(rooms.join).map(([room_id, room]) => parseJoined(room_id, room)),
    invited: entries(rooms.invite).map(([room_id, room]) => ({
      room_id,
      state: eventList(room.invite_state).flatMap((event) => parseEvent(event) ?? []),
    })),
    left: entries(rooms.leave).map(([room_id]) => room_id),
  };
}

/** A room event, or undefined when it lacks what every event has. */
export function parseEvent(event: unknown): RawEvent | undefined {
  if (!isRecord(event)) return undefined;
  const { type, sender, event_id = "", state_key, content, origin_server_ts = 0 } = event;
  if (typeof type !== "string" || typeof sender !== "string" || typeof event_id !== "string")
    return undefined;
  if (typeof origin_server_ts !== "number" || !Number.isSafeInteger(origin_server_ts)) return undefined;
  if (state_key !== undefined && typeof state_key !== "string") return undefined;
  return {
    type,
    sender,
    event_id,
    content: content ?? {},
    origin_server_ts,
    ...(state_key !== undefined && { state_key }),
  };
}

function parseJoined(room_id: string, room: Record<string, unknown>): JoinedRoom {
  const timeline = isRecord(room.timeline) ? room.timeline : {};
  const events = eventList(timeline).flatMap((event) => {
    const parsed = parseEvent(event);
    return parsed && parsed.event_id !== "" ? [parsed] : [];
  });
  // MSC4222, which the SDK asks for: where the server gives the state after the timeline, that alone counts.
  const after = room.state_after ?? room["org.matrix.msc4222.state_after"];
  const given = eventList(after ?? room.state).flatMap((event) => parseEvent(event) ?? []);
  const state = after === undefined ? [...given, ...events] : given;
  return {
    room_id,
    state: state.filter((event) => event.state_key !== undefined),
    timeline: events,
    limited: timeline.limited === true,
    prev_batch: typeof timeline.prev_batch === "string" ? timeline.prev_batch : null,
  };
}

function entries(rooms: unknown): [string, Record<string, unknown>][] {
  if (!isRecord(rooms)) return [];
  return Object.entries(rooms).flatMap(([room_id, room]) => (isRecord(room) ? [[room_id, room]] : []));
}

function eventList(section: unknown): unknown[] {
  return isRecord(section) && Array.isArray(section.events) ? section.events : [];
}
