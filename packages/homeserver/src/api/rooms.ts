import type { App } from "../app.ts";
import { forbidden, invalidParam, MatrixError, notFound } from "../http/errors.ts";
import { optionalString, string } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireJoined } from "../rooms/access.ts";
import { createRoom } from "../rooms/create.ts";
import { isRoomAlias, isUserId } from "../rooms/ids.ts";
import { changeMembership, type MembershipChange } from "../rooms/membership.ts";

/** "Rooms": creation and "Room membership". */
export function roomRoutes(app: App): Route[] {
  const optional = { body: "optional", limit: "room" } as const;
  const moves = { limit: "membership" } as const;
  const act = (membership: MembershipChange["membership"]) => (request: ApiRequest) =>
    moveOther(app, request, membership);
  return [
    route(
      "POST",
      "/_matrix/client/v3/createRoom",
      (request) => ({ room_id: createRoom(app, request.userId, request.body) }),
      { limit: "room" },
    ),
    route("GET", "/_matrix/client/v3/joined_rooms", (request) => ({
      joined_rooms: app.store.rooms.joinedRooms(request.userId),
    })),
    route(
      "POST",
      "/_matrix/client/v3/join/{roomIdOrAlias}",
      (request) => enter(app, request, "join"),
      optional,
    ),
    route(
      "POST",
      "/_matrix/client/v3/rooms/{roomId}/join",
      (request) => enter(app, request, "join"),
      optional,
    ),
    route(
      "POST",
      "/_matrix/client/v3/knock/{roomIdOrAlias}",
      (request) => enter(app, request, "knock"),
      optional,
    ),
    route("POST", "/_matrix/client/v3/rooms/{roomId}/invite", act("invite"), { limit: "room" }),
    route("POST", "/_matrix/client/v3/rooms/{roomId}/kick", act("leave"), moves),
    route("POST", "/_matrix/client/v3/rooms/{roomId}/ban", act("ban"), moves),
    route("POST", "/_matrix/client/v3/rooms/{roomId}/unban", (request) => unban(app, request), moves),
    route("POST", "/_matrix/client/v3/rooms/{roomId}/leave", (request) => leave(app, request), {
      body: "optional",
      ...moves,
    }),
    route("POST", "/_matrix/client/v3/rooms/{roomId}/forget", (request) => forget(app, request), {
      body: "optional",
      ...moves,
    }),
  ];
}

function enter(app: App, request: ApiRequest, membership: "join" | "knock"): unknown {
  const roomId = resolveRoom(
    app,
    request.param(request.path.includes("/rooms/") ? "roomId" : "roomIdOrAlias"),
  );
  const reason = optionalString(request.body, "reason");
  const { userId } = request;
  if (app.store.rooms.room(roomId) === undefined) {
    throw notFound("no such room on this homeserver, which does not federate");
  }
  changeMembership(app, { roomId, sender: userId, target: userId, membership, reason });
  return { room_id: roomId };
}

/** The room that an id or an alias names; M_NOT_FOUND for an alias that is not there. */
export function resolveRoom(app: App, roomIdOrAlias: string): string {
  if (roomIdOrAlias.startsWith("!")) return roomIdOrAlias;
  if (!isRoomAlias(roomIdOrAlias)) throw invalidParam(`${roomIdOrAlias} is neither a room id nor an alias`);
  const row = app.store.rooms.alias(roomIdOrAlias);
  if (row === undefined)
    throw notFound(`the alias ${roomIdOrAlias} is not known here, and this homeserver does not federate`);
  return row.room_id;
}

function moveOther(app: App, request: ApiRequest, membership: MembershipChange["membership"]): unknown {
  const target = string(request.body, "user_id");
  if (!isUserId(target)) throw invalidParam(`${target} is not a user id`);
  const roomId = request.param("roomId");
  const reason = optionalString(request.body, "reason");
  if (membership === "leave") {
    // Nobody else learns who is in the room.
    requireJoined(app, request.userId, roomId);
    const current = app.store.events.state(roomId, "m.room.member", target)?.content.membership;
    if (current !== "join" && current !== "invite" && current !== "knock") {
      throw forbidden(`${target} is not in the room`);
    }
  }
  changeMembership(app, { roomId, sender: request.userId, target, membership, reason });
  return {};
}

function unban(app: App, request: ApiRequest): unknown {
  const target = string(request.body, "user_id");
  const roomId = request.param("roomId");
  requireJoined(app, request.userId, roomId);
  const current = app.store.events.state(roomId, "m.room.member", target);
  if (current?.content.membership !== "ban") throw forbidden(`${target} is not banned from the room`);
  const reason = optionalString(request.body, "reason");
  changeMembership(app, { roomId, sender: request.userId, target, membership: "leave", reason });
  return {};
}

function leave(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const { userId } = request;
  const reason = optionalString(request.body, "reason");
  const current = app.store.rooms.membership(userId, roomId);
  if (current === undefined && app.store.rooms.room(roomId) === undefined)
    throw notFound("no such room on this homeserver");
  // Leaving twice is no mistake: the client may not have heard of the first time.
  if (current?.membership === "leave") return {};
  changeMembership(app, { roomId, sender: userId, target: userId, membership: "leave", reason });
  return {};
}

function forget(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const current = app.store.rooms.membership(request.userId, roomId);
  if (current?.membership === "join" || current?.membership === "invite" || current?.membership === "knock") {
    throw new MatrixError(400, "M_UNKNOWN", "leave the room before forgetting it");
  }
  app.store.db.transaction(() => app.store.rooms.forget(request.userId, roomId));
  return {};
}
