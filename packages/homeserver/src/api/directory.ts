import type { App } from "../app.ts";
import { forbidden, invalidParam, MatrixError, notFound } from "../http/errors.ts";
import { string } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireJoined } from "../rooms/access.ts";
import { isRoomAlias, serverOf } from "../rooms/ids.ts";
import { requiredLevel, userLevel } from "../rooms/levels.ts";
import { stateView } from "../rooms/timeline.ts";

const path = "/_matrix/client/v3/directory/room/{roomAlias}";

/** "Room Aliases". */
export function directoryRoutes(app: App): Route[] {
  return [
    route("GET", path, (request) => resolve(app, request), { auth: "optional" }),
    route("PUT", path, (request) => add(app, request)),
    route("DELETE", path, (request) => remove(app, request)),
    route("GET", "/_matrix/client/v3/rooms/{roomId}/aliases", (request) => {
      requireJoined(app, request.userId, request.param("roomId"));
      return { aliases: app.store.rooms.aliases(request.param("roomId")) };
    }),
  ];
}

function aliasOf(request: ApiRequest): string {
  const alias = request.param("roomAlias");
  if (!isRoomAlias(alias)) throw invalidParam(`${alias} is not a room alias`);
  return alias;
}

function resolve(app: App, request: ApiRequest): unknown {
  const alias = aliasOf(request);
  const row = app.store.rooms.alias(alias);
  if (row === undefined) throw notFound(`the alias ${alias} is not known here`);
  return { room_id: row.room_id, servers: [app.settings.serverName] };
}

function add(app: App, request: ApiRequest): unknown {
  const alias = aliasOf(request);
  const roomId = string(request.body, "room_id");
  if (serverOf(alias) !== app.settings.serverName)
    throw invalidParam(`aliases here end in :${app.settings.serverName}`);
  const { db, rooms } = app.store;
  if (rooms.alias(alias) !== undefined) throw new MatrixError(409, "M_UNKNOWN", `${alias} is there already`);
  requireJoined(app, request.userId, roomId);
  db.transaction(() => rooms.addAlias(alias, roomId, request.userId));
  return {};
}

function remove(app: App, request: ApiRequest): unknown {
  const alias = aliasOf(request);
  const { db, rooms } = app.store;
  const row = rooms.alias(alias);
  if (row === undefined) throw notFound(`the alias ${alias} is not known here`);
  const view = stateView(app, row.room_id);
  const may =
    row.creator === request.userId ||
    userLevel(view, request.userId) >= requiredLevel(view, "m.room.canonical_alias", true);
  if (!may) throw forbidden("only its creator and the room's moderators can remove an alias");
  db.transaction(() => rooms.deleteAlias(alias));
  return {};
}
