import type { App } from "../app.ts";
import { badJson, forbidden, invalidParam, notFound } from "../http/errors.ts";
import {
  type JsonObject,
  optionalInteger,
  optionalObject,
  optionalString,
  queryInteger,
} from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireJoined } from "../rooms/access.ts";
import { requiredLevel, userLevel } from "../rooms/levels.ts";
import { stateView } from "../rooms/timeline.ts";
import { resolveRoom } from "./rooms.ts";

const listing = "/_matrix/client/v3/directory/list/room/{roomId}";
const MAX_LIMIT = 500;

/** "Published Room Directory", and the room summary that a client asks for before a join. */
export function publicRoomRoutes(app: App): Route[] {
  return [
    route(
      "GET",
      "/_matrix/client/v3/publicRooms",
      (request) => {
        requireHere(app, request);
        const limit = queryInteger(request.query, "limit", MAX_LIMIT, 0, MAX_LIMIT);
        return publicRooms(app, {
          limit,
          since: request.query.get("since"),
          term: undefined,
          types: undefined,
        });
      },
      { auth: "optional" },
    ),
    route("POST", "/_matrix/client/v3/publicRooms", (request) => search(app, request)),
    route(
      "GET",
      listing,
      (request) => {
        const room = app.store.rooms.room(request.param("roomId"));
        if (room === undefined) throw notFound("no such room on this homeserver");
        return { visibility: room.published === 1 ? "public" : "private" };
      },
      { auth: "optional" },
    ),
    route("PUT", listing, (request) => publish(app, request)),
    route("GET", "/_matrix/client/v1/room_summary/{roomIdOrAlias}", (request) => summary(app, request)),
  ];
}

/** Refuses to ask another server for its list. */
function requireHere(app: App, request: ApiRequest): void {
  const server = request.query.get("server") ?? app.settings.serverName;
  if (server !== app.settings.serverName) throw forbidden("this homeserver does not federate");
}

interface Search {
  readonly limit: number;
  readonly since: string | null;
  readonly term: string | undefined;
  readonly types: (string | null)[] | undefined;
}

function search(app: App, request: ApiRequest): unknown {
  requireHere(app, request);
  const { body } = request;
  const filter = optionalObject(body, "filter") ?? {};
  const types = filter.room_types;
  if (types !== undefined && types !== null && !Array.isArray(types))
    throw badJson("room_types must be an array");
  const limit = optionalInteger(body, "limit") ?? MAX_LIMIT;
  if (limit < 0) throw invalidParam("limit must not be negative");
  return publicRooms(app, {
    limit: Math.min(limit, MAX_LIMIT),
    since: optionalString(body, "since") ?? null,
    term: optionalString(filter, "generic_search_term")?.toLowerCase(),
    types: types ?? undefined,
  });
}

function publicRooms(app: App, wanted: Search): unknown {
  const start = wanted.since === null ? 0 : Number(/^p(\d{1,9})$/.exec(wanted.since)?.[1] ?? Number.NaN);
  if (Number.isNaN(start)) throw invalidParam("since is not a position of this list");
  const open = app.store.rooms
    .publishedRooms()
    .map(({ roomId, joined }) => describe(app, roomId, joined))
    .filter((room) => isOpen(room) && isOfType(room, wanted));
  const all = open.filter((room) => matches(room, wanted));
  const chunk = all.slice(start, start + wanted.limit);
  const end = start + chunk.length;
  return {
    chunk,
    total_room_count_estimate: open.length,
    ...(end < all.length && chunk.length > 0 ? { next_batch: `p${end}` } : {}),
    ...(start > 0 ? { prev_batch: `p${Math.max(0, start - wanted.limit)}` } : {}),
  };
}

/** Whether somebody who finds the room could do anything with it. */
function isOpen(room: JsonObject): boolean {
  return (
    room.world_readable === true ||
    (room.join_rule !== undefined && room.join_rule !== "invite" && room.join_rule !== "private")
  );
}

function isOfType(room: JsonObject, { types }: Search): boolean {
  return types === undefined || types.includes((room.room_type as string | undefined) ?? null);
}

function matches(room: JsonObject, { term }: Search): boolean {
  const texts = [room.name, room.topic, room.canonical_alias];
  return (
    term === undefined || texts.some((text) => typeof text === "string" && text.toLowerCase().includes(term))
  );
}

/** A room as the directory shows it ("PublishedRoomsChunk"). */
function describe(app: App, roomId: string, joined: number): JsonObject {
  const { events } = app.store;
  const value = (type: string, key: string) => events.state(roomId, type, "")?.content[key];
  const entries: [string, unknown][] = [
    ["name", value("m.room.name", "name")],
    ["topic", value("m.room.topic", "topic")],
    ["canonical_alias", value("m.room.canonical_alias", "alias")],
    ["avatar_url", value("m.room.avatar", "url")],
    ["join_rule", value("m.room.join_rules", "join_rule")],
    ["room_type", value("m.room.create", "type")],
  ];
  return {
    room_id: roomId,
    num_joined_members: joined,
    world_readable: value("m.room.history_visibility", "history_visibility") === "world_readable",
    guest_can_join: value("m.room.guest_access", "guest_access") === "can_join",
    ...Object.fromEntries(entries.filter(([, text]) => typeof text === "string" && text !== "")),
  };
}

function publish(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const visibility = optionalString(request.body, "visibility") ?? "public";
  if (visibility !== "public" && visibility !== "private") throw badJson("visibility is public or private");
  const { db, rooms } = app.store;
  if (rooms.room(roomId) === undefined) throw notFound("no such room on this homeserver");
  requireJoined(app, request.userId, roomId);
  const view = stateView(app, roomId);
  if (userLevel(view, request.userId) < requiredLevel(view, "m.room.canonical_alias", true)) {
    throw forbidden("publishing the room needs the power level of m.room.canonical_alias");
  }
  db.transaction(() => rooms.setPublished(roomId, visibility === "public"));
  return {};
}

function summary(app: App, request: ApiRequest): unknown {
  const roomId = resolveRoom(app, request.param("roomIdOrAlias"));
  const { events, rooms } = app.store;
  const membership = rooms.membership(request.userId, roomId)?.membership;
  const rule = events.state(roomId, "m.room.join_rules", "")?.content.join_rule;
  const readable =
    events.state(roomId, "m.room.history_visibility", "")?.content.history_visibility === "world_readable";
  const open =
    rule === "public" || rule === "knock" || readable || membership === "join" || membership === "invite";
  if (!open) throw notFound("no such room, or you may not know of it");
  const encryption = events.state(roomId, "m.room.encryption", "")?.content.algorithm;
  return {
    ...describe(app, roomId, rooms.countMembers(roomId, "join")),
    room_version: rooms.room(roomId)?.version,
    ...(typeof encryption === "string" ? { encryption } : {}),
    ...(membership === undefined ? {} : { membership }),
  };
}
