import type { App } from "../app.ts";
import { type Route, route } from "../http/router.ts";
import { pushRules } from "../rooms/push-rules.ts";

const base = "/_matrix/client/v3/pushrules";

/** "Push Rules". */
export function pushRuleRoutes(app: App): Route[] {
  const all = route("GET", `${base}/`, (request) => ({ global: pushRules(app, request.userId) }));
  const global = route("GET", `${base}/global/`, (request) => pushRules(app, request.userId));
  return [all, { ...all, pattern: base }, global, { ...global, pattern: `${base}/global` }];
}
