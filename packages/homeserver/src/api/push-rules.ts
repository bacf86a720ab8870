import type { App } from "../app.ts";
import { badJson, tooLarge } from "../http/errors.ts";
import { type JsonObject, optionalBoolean } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import {
  findRule,
  MAX_PUSH_RULES,
  parseActions,
  parseRule,
  pushKind,
  withChange,
  withoutRule,
  withRule,
} from "../rooms/push-rules.ts";
import { setAccountData } from "./account-data.ts";

const base = "/_matrix/client/v3/pushrules";
const one = `${base}/global/{kind}/{ruleId}`;

/** "Push Rules". */
export function pushRuleRoutes(app: App): Route[] {
  const limit = { limit: "account_data" } as const;
  const all = (request: ApiRequest) => ({ global: app.pushRules.get(request.userId) });
  const global = (request: ApiRequest) => app.pushRules.get(request.userId);
  return [
    route("GET", `${base}/`, all),
    route("GET", base, all),
    route("GET", `${base}/global/`, global),
    route("GET", `${base}/global`, global),
    route("GET", one, (request) => ruleOf(app, request)),
    route("PUT", one, (request) => put(app, request), limit),
    route("DELETE", one, (request) => remove(app, request), limit),
    route("GET", `${one}/enabled`, (request) => ({ enabled: ruleOf(app, request).enabled })),
    route("GET", `${one}/actions`, (request) => ({ actions: ruleOf(app, request).actions })),
    route("PUT", `${one}/enabled`, (request) => enable(app, request), limit),
    route(
      "PUT",
      `${one}/actions`,
      (request) => change(app, request, { actions: parseActions(request.body) }),
      limit,
    ),
  ];
}

function target(app: App, request: ApiRequest) {
  const kind = pushKind(request.param("kind"));
  return { kind, ruleId: request.param("ruleId"), rules: app.pushRules.get(request.userId) };
}

function ruleOf(app: App, request: ApiRequest): JsonObject {
  const { kind, ruleId, rules } = target(app, request);
  return findRule(rules, kind, ruleId);
}

function put(app: App, request: ApiRequest): unknown {
  const { kind, ruleId, rules } = target(app, request);
  const place = { before: request.query.get("before"), after: request.query.get("after") };
  return store(app, request.userId, withRule(rules, kind, parseRule(kind, ruleId, request.body), place));
}

function remove(app: App, request: ApiRequest): unknown {
  const { kind, ruleId, rules } = target(app, request);
  return store(app, request.userId, withoutRule(rules, kind, ruleId));
}

function enable(app: App, request: ApiRequest): unknown {
  const enabled = optionalBoolean(request.body, "enabled");
  if (enabled === undefined) throw badJson("enabled is missing");
  return change(app, request, { enabled });
}

function change(app: App, request: ApiRequest, changed: JsonObject): unknown {
  const { kind, ruleId, rules } = target(app, request);
  return store(app, request.userId, withChange(rules, kind, ruleId, changed));
}

function store(app: App, userId: string, rules: JsonObject): unknown {
  if (Buffer.byteLength(JSON.stringify(rules)) > MAX_PUSH_RULES)
    throw tooLarge(`push rules may have ${MAX_PUSH_RULES} bytes in all`);
  setAccountData(app, userId, "", "m.push_rules", { global: rules });
  app.pushRules.forget(userId);
  return {};
}
