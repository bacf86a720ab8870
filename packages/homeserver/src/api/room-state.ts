import type { App } from "../app.ts";
import { notFound } from "../http/errors.ts";
import type { JsonObject } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireJoined, viewLimit } from "../rooms/access.ts";
import { stateEvent } from "../rooms/client-event.ts";
import { checkStateContent } from "../rooms/state-checks.ts";
import { appendEvent } from "../rooms/timeline.ts";
import { parseToken } from "../sync/token.ts";

const base = "/_matrix/client/v3/rooms/{roomId}";

/** "Getting events for a room" (state, members) and "Sending events to a room" (state). */
export function roomStateRoutes(app: App): Route[] {
  const send = (request: ApiRequest) => sendState(app, request);
  const limit = { limit: "message" } as const;
  return [
    route("GET", `${base}/state`, (request) => allState(app, request)),
    route("GET", `${base}/state/{eventType}`, (request) => oneState(app, request, "")),
    route("GET", `${base}/state/{eventType}/{stateKey}`, (request) =>
      oneState(app, request, request.param("stateKey")),
    ),
    route("PUT", `${base}/state/{eventType}`, send, limit),
    route("PUT", `${base}/state/{eventType}/{stateKey}`, send, limit),
    route("GET", `${base}/members`, (request) => members(app, request)),
    route("GET", `${base}/joined_members`, (request) => joinedMembers(app, request)),
  ];
}

function allState(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const upTo = viewLimit(app, request.userId, roomId);
  const { events } = app.store;
  const state = upTo >= events.lastPos(roomId) ? events.currentState(roomId) : events.stateAt(roomId, upTo);
  return state.map((event) => stateEvent(app, event));
}

function oneState(app: App, request: ApiRequest, stateKey: string): unknown {
  const roomId = request.param("roomId");
  const upTo = viewLimit(app, request.userId, roomId);
  const type = request.param("eventType");
  const event = app.store.events.stateEventAt(roomId, type, stateKey, upTo);
  if (event === undefined) throw notFound(`the room has no state ${type} with the key "${stateKey}"`);
  return request.query.get("format") === "event" ? stateEvent(app, event) : event.content;
}

function sendState(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const type = request.param("eventType");
  const stateKey = request.path.split("/").length > 8 ? request.param("stateKey") : "";
  requireKnownRoom(app, request, roomId);
  checkStateContent(app, roomId, type, stateKey, request.body);
  const current = app.store.events.state(roomId, type, stateKey);
  // Sending the same state again changes nothing, as on other homeservers.
  if (current !== undefined && current.sender === request.userId && sameJson(current.content, request.body)) {
    requireJoined(app, request.userId, roomId);
    return { event_id: current.eventId };
  }
  const { userId: sender, deviceId } = request.session;
  return {
    event_id: appendEvent(app, { roomId, type, stateKey, sender, content: request.body, deviceId }).eventId,
  };
}

function requireKnownRoom(app: App, request: ApiRequest, roomId: string): void {
  if (app.store.rooms.room(roomId) === undefined) requireJoined(app, request.userId, roomId);
}

function sameJson(one: JsonObject, other: JsonObject): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function members(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  let upTo = viewLimit(app, request.userId, roomId);
  const at = request.query.get("at");
  if (at !== null) upTo = Math.min(upTo, parseToken(at, app.store.positions.last).pos);
  const membership = request.query.get("membership");
  const notMembership = request.query.get("not_membership");
  const chunk = app.store.events
    .stateAt(roomId, upTo)
    .filter((event) => event.type === "m.room.member")
    .filter((event) => membership === null || event.content.membership === membership)
    .filter((event) => notMembership === null || event.content.membership !== notMembership);
  return { chunk: chunk.map((event) => stateEvent(app, event)) };
}

function joinedMembers(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  requireJoined(app, request.userId, roomId);
  const joined = [...app.store.rooms.joined(roomId)].map((userId): [string, JsonObject] => {
    const content = app.store.events.state(roomId, "m.room.member", userId)?.content;
    return [
      userId,
      {
        ...(typeof content?.displayname === "string" ? { display_name: content.displayname } : {}),
        ...(typeof content?.avatar_url === "string" ? { avatar_url: content.avatar_url } : {}),
      },
    ];
  });
  return { joined: Object.fromEntries(joined) };
}
