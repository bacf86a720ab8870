import type { App } from "../app.ts";
import { badJson, invalidParam } from "../http/errors.ts";
import { optionalBoolean, optionalInteger, optionalString, own } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireJoined } from "../rooms/access.ts";
import { markRead } from "../rooms/receipts.ts";
import { setAccountData } from "./account-data.ts";
import { requireSelf } from "./sync.ts";

const base = "/_matrix/client/v3/rooms/{roomId}";
const MAX_TYPING_MS = 120_000;

/** "Typing Notifications", "Receipts", "Fully read markers". */
export function receiptRoutes(app: App): Route[] {
  return [
    route("PUT", `${base}/typing/{userId}`, (request) => typing(app, request), { limit: "receipt" }),
    route("POST", `${base}/receipt/{receiptType}/{eventId}`, (request) => receipt(app, request), {
      body: "optional",
      limit: "receipt",
    }),
    route("POST", `${base}/read_markers`, (request) => readMarkers(app, request), {
      body: "optional",
      limit: "receipt",
    }),
  ];
}

function typing(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  requireSelf(request);
  requireJoined(app, request.userId, roomId);
  const on = optionalBoolean(request.body, "typing");
  if (on === undefined) throw badJson("typing is missing");
  const timeout = optionalInteger(request.body, "timeout") ?? 30_000;
  app.typing.set(roomId, request.userId, on, Math.max(0, Math.min(timeout, MAX_TYPING_MS)));
  return {};
}

function receipt(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  const type = request.param("receiptType");
  const eventId = request.param("eventId");
  requireJoined(app, request.userId, roomId);
  if (type === "m.fully_read") {
    setAccountData(app, request.userId, roomId, type, { event_id: eventId });
  } else if (type === "m.read" || type === "m.read.private") {
    const threadId = own(request.body, "thread_id") ?? "";
    if (typeof threadId !== "string") throw invalidParam("thread_id must be a string");
    markRead(app, request.userId, roomId, type, eventId, threadId);
  } else {
    throw invalidParam(`${type} is not a type of receipt`);
  }
  return {};
}

function readMarkers(app: App, request: ApiRequest): unknown {
  const roomId = request.param("roomId");
  requireJoined(app, request.userId, roomId);
  const { body, userId } = request;
  const fullyRead = optionalString(body, "m.fully_read");
  if (fullyRead !== undefined) setAccountData(app, userId, roomId, "m.fully_read", { event_id: fullyRead });
  for (const type of ["m.read", "m.read.private"] as const) {
    const eventId = optionalString(body, type);
    if (eventId !== undefined) markRead(app, userId, roomId, type, eventId, "");
  }
  return {};
}
