import { badJson } from "../http/errors.ts";
import {
  type JsonObject,
  optionalBoolean,
  optionalInteger,
  optionalObject,
  optionalStrings,
} from "../http/json.ts";

/** Which events somebody wants to see ("Filtering"). */
export interface EventFilter {
  readonly limit: number | undefined;
  matches(event: { type: string; sender: string; content: JsonObject }): boolean;
}

export interface RoomEventFilter extends EventFilter {
  readonly lazyLoadMembers: boolean;
  matchesRoom(roomId: string): boolean;
}

export interface SyncFilter {
  readonly accountData: EventFilter;
  readonly timeline: RoomEventFilter;
  readonly state: RoomEventFilter;
  readonly ephemeral: RoomEventFilter;
  readonly roomAccountData: RoomEventFilter;
  readonly includeLeave: boolean;
  matchesRoom(roomId: string): boolean;
}

/** Parses a filter definition; wrong types are M_BAD_JSON. */
export function parseFilter(definition: JsonObject): SyncFilter {
  const room = optionalObject(definition, "room") ?? {};
  optionalObject(definition, "presence");
  optionalStrings(definition, "event_fields");
  return {
    accountData: parseEventFilter(optionalObject(definition, "account_data") ?? {}),
    timeline: parseRoomEventFilter(optionalObject(room, "timeline") ?? {}),
    state: parseRoomEventFilter(optionalObject(room, "state") ?? {}),
    ephemeral: parseRoomEventFilter(optionalObject(room, "ephemeral") ?? {}),
    roomAccountData: parseRoomEventFilter(optionalObject(room, "account_data") ?? {}),
    includeLeave: optionalBoolean(room, "include_leave") === true,
    matchesRoom: roomMatcher(room),
  };
}

export function parseRoomEventFilter(definition: JsonObject): RoomEventFilter {
  const base = parseEventFilter(definition);
  const containsUrl = optionalBoolean(definition, "contains_url");
  return {
    limit: base.limit,
    matches: (event) =>
      base.matches(event) &&
      (containsUrl === undefined || (typeof event.content.url === "string") === containsUrl),
    lazyLoadMembers: optionalBoolean(definition, "lazy_load_members") === true,
    matchesRoom: roomMatcher(definition),
  };
}

function parseEventFilter(definition: JsonObject): EventFilter {
  const limit = optionalInteger(definition, "limit");
  if (limit !== undefined && limit < 0) throw badJson("limit must not be negative");
  const types = optionalStrings(definition, "types")?.map(typePattern);
  const notTypes = (optionalStrings(definition, "not_types") ?? []).map(typePattern);
  const senders = setOf(optionalStrings(definition, "senders"));
  const notSenders = new Set(optionalStrings(definition, "not_senders"));
  return {
    limit,
    matches: ({ type, sender }) =>
      (types === undefined || types.some((matches) => matches(type))) &&
      !notTypes.some((matches) => matches(type)) &&
      (senders === undefined || senders.has(sender)) &&
      !notSenders.has(sender),
  };
}

/** A type of a filter, where `*` stands for any characters. Matched without backtracking. */
function typePattern(pattern: string): (type: string) => boolean {
  const parts = pattern.split("*");
  const [first = "", ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return (type) => type === pattern;
  return (type) => {
    if (!type.startsWith(first) || type.length < first.length + last.length || !type.endsWith(last))
      return false;
    let from = first.length;
    const end = type.length - last.length;
    for (const part of rest) {
      const found = type.indexOf(part, from);
      if (found < 0 || found + part.length > end) return false;
      from = found + part.length;
    }
    return true;
  };
}

function roomMatcher(definition: JsonObject): (roomId: string) => boolean {
  const rooms = setOf(optionalStrings(definition, "rooms"));
  const notRooms = new Set(optionalStrings(definition, "not_rooms"));
  return (roomId) => (rooms === undefined || rooms.has(roomId)) && !notRooms.has(roomId);
}

function setOf(values: string[] | undefined): Set<string> | undefined {
  return values === undefined ? undefined : new Set(values);
}
