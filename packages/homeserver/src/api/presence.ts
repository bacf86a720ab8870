import type { App } from "../app.ts";
import { badJson, forbidden } from "../http/errors.ts";
import { optionalString, string } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireSelf } from "./sync.ts";

const path = "/_matrix/client/v3/presence/{userId}/status";

/** "Presence": kept in memory, told to those who ask and share a room. */
export function presenceRoutes(app: App): Route[] {
  return [
    route("PUT", path, (request) => set(app, request), { limit: "receipt" }),
    route("GET", path, (request) => {
      const userId = request.param("userId");
      if (userId !== request.userId && !app.store.rooms.shareRoom(request.userId, userId)) {
        throw forbidden("you share no room with that user");
      }
      return app.presence.get(userId);
    }),
  ];
}

function set(app: App, request: ApiRequest): unknown {
  requireSelf(request);
  const presence = string(request.body, "presence");
  if (!["online", "offline", "unavailable"].includes(presence))
    throw badJson(`${presence} is not a presence`);
  app.presence.set(request.userId, presence, optionalString(request.body, "status_msg"));
  return {};
}
