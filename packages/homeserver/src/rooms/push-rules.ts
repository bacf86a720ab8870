import type { App } from "../app.ts";
import type { JsonObject } from "../http/json.ts";
import { defaultPushRules } from "./push-defaults.ts";

/** The user's push rules, or the default ones. */
export function pushRules(app: App, userId: string): JsonObject {
  const stored = app.store.clientData.accountData(userId, "", "m.push_rules")?.global;
  return (stored as JsonObject | undefined) ?? defaultPushRules(userId);
}
