import type { App } from "../app.ts";
import { invalidParam, MatrixError, notFound } from "../http/errors.ts";
import { isObject, type JsonObject, own } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireSelf } from "./sync.ts";

const base = "/_matrix/client/v3/user/{userId}";
const room = `${base}/rooms/{roomId}`;

/** "Client Config" (account data, global and of rooms) and "Room Tagging". */
export function accountDataRoutes(app: App): Route[] {
  const limit = { limit: "account_data" } as const;
  return [
    route("GET", `${base}/account_data/{type}`, (request) => get(app, request, "")),
    route("PUT", `${base}/account_data/{type}`, (request) => put(app, request, ""), limit),
    route("GET", `${room}/account_data/{type}`, (request) => get(app, request, request.param("roomId"))),
    route(
      "PUT",
      `${room}/account_data/{type}`,
      (request) => put(app, request, request.param("roomId")),
      limit,
    ),
    route("GET", `${room}/tags`, (request) => {
      requireSelf(request);
      return { tags: Object.fromEntries(tagsOf(app, request)) };
    }),
    route("PUT", `${room}/tags/{tag}`, (request) => changeTag(app, request, request.body), limit),
    route("DELETE", `${room}/tags/{tag}`, (request) => changeTag(app, request, undefined), limit),
  ];
}

function get(app: App, request: ApiRequest, roomId: string): unknown {
  requireSelf(request);
  const content = app.store.clientData.accountData(request.userId, roomId, request.param("type"));
  if (content === undefined) throw notFound("there is no such account data");
  return content;
}

function put(app: App, request: ApiRequest, roomId: string): unknown {
  requireSelf(request);
  const type = request.param("type");
  if (type === "m.fully_read" || type === "m.push_rules") {
    throw new MatrixError(405, "M_BAD_JSON", `${type} has endpoints of its own`);
  }
  if (roomId !== "" && !roomId.startsWith("!")) throw invalidParam(`${roomId} is not a room id`);
  setAccountData(app, request.userId, roomId, type, request.body);
  return {};
}

/** Keeps account data and tells the user's other clients. `roomId` is empty for global data. */
export function setAccountData(
  app: App,
  userId: string,
  roomId: string,
  type: string,
  content: JsonObject,
): void {
  const { clientData, db, positions } = app.store;
  db.transaction(() => {
    clientData.setAccountData(userId, roomId, type, content, positions.next());
    db.afterCommit(() => app.notifier.wake([userId]));
  });
}

function tagsOf(app: App, request: ApiRequest): Map<string, unknown> {
  const content = app.store.clientData.accountData(request.userId, request.param("roomId"), "m.tag") ?? {};
  const tags = own(content, "tags");
  return new Map(isObject(tags) ? Object.entries(tags) : []);
}

function changeTag(app: App, request: ApiRequest, content: JsonObject | undefined): unknown {
  requireSelf(request);
  const tags = tagsOf(app, request);
  if (content === undefined) tags.delete(request.param("tag"));
  else tags.set(request.param("tag"), content);
  setAccountData(app, request.userId, request.param("roomId"), "m.tag", { tags: Object.fromEntries(tags) });
  return {};
}
