import { badJson } from "../http/errors.ts";
import {
  isObject,
  type JsonObject,
  optionalBoolean,
  optionalInteger,
  optionalObject,
  optionalString,
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
  /** What is left of an event of a room: all of it, or the fields asked for. */
  shape(event: JsonObject): JsonObject;
  matchesRoom(roomId: string): boolean;
}

/** Parses a filter definition; wrong types are M_BAD_JSON. */
export function parseFilter(definition: JsonObject): SyncFilter {
  const room = optionalObject(definition, "room") ?? {};
  optionalObject(definition, "presence");
  const format = optionalString(definition, "event_format") ?? "client";
  if (format !== "client" && format !== "federation") throw badJson(`${format} is not a format of events`);
  const fields = optionalStrings(definition, "event_fields");
  return {
    accountData: parseEventFilter(optionalObject(definition, "account_data") ?? {}),
    timeline: parseRoomEventFilter(optionalObject(room, "timeline") ?? {}),
    state: parseRoomEventFilter(optionalObject(room, "state") ?? {}),
    ephemeral: parseRoomEventFilter(optionalObject(room, "ephemeral") ?? {}),
    roomAccountData: parseRoomEventFilter(optionalObject(room, "account_data") ?? {}),
    shape: fields === undefined ? (event) => event : fieldPicker(fields),
    includeLeave: optionalBoolean(room, "include_leave") === true,
    matchesRoom: roomMatcher(room),
  };
}

/** Keeps the fields that dotted paths name (`content.body`); a backslash makes a dot part of a name. */
function fieldPicker(fields: readonly string[]): (event: JsonObject) => JsonObject {
  const paths = fields.map((field) =>
    (field.match(/(?:\\[\s\S]|[^.\\])+/g) ?? []).map((name) => name.replace(/\\([.\\])/g, "$1")),
  );
  const pick = (value: JsonObject, wanted: readonly (readonly string[])[]): JsonObject => {
    const entries = Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
      const rests = wanted.filter(([name]) => name === key).map((path) => path.slice(1));
      if (rests.length === 0) return [];
      if (rests.some((rest) => rest.length === 0)) return [[key, inner]];
      return isObject(inner) ? [[key, pick(inner, rests)]] : [];
    });
    return Object.fromEntries(entries);
  };
  return (event) => pick(event, paths);
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
