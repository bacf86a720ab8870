import type { App } from "../app.ts";
import { invalidParam } from "../http/errors.ts";
import { optionalInteger, string } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";

const MAX_LIMIT = 50;
/** Nobody's id or name is longer; the store can't look for much more either. */
const MAX_TERM = 256;

/** "User Directory": on one host, everybody may be found. */
export function userDirectoryRoutes(app: App): Route[] {
  return [route("POST", "/_matrix/client/v3/user_directory/search", (request) => search(app, request))];
}

function search(app: App, request: ApiRequest): unknown {
  const term = string(request.body, "search_term");
  const limit = optionalInteger(request.body, "limit") ?? 10;
  if (limit < 0) throw invalidParam("limit must not be negative");
  const count = Math.min(limit, MAX_LIMIT);
  const { accounts } = app.store;
  const all = term.length > MAX_TERM ? [] : accounts.searchUsers(term, count + 2);
  const found = all.filter((userId) => userId !== request.userId);
  const results = found.slice(0, count).map((userId) => {
    const profile = accounts.profile(userId);
    const displayName = profile.get("displayname");
    const avatar = profile.get("avatar_url");
    return {
      user_id: userId,
      ...(typeof displayName === "string" ? { display_name: displayName } : {}),
      ...(typeof avatar === "string" ? { avatar_url: avatar } : {}),
    };
  });
  return { results, limited: found.length > count };
}
