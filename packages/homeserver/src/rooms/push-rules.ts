import { badJson, invalidParam, notFound, unrecognized } from "../http/errors.ts";
import { isObject, type JsonObject, optionalArray, optionalString, own } from "../http/json.ts";
import type { ClientDataStore } from "../store/client-data.ts";
import { defaultPushRules } from "./push-defaults.ts";

export type PushKind = "override" | "content" | "room" | "sender" | "underride";

const kinds: readonly PushKind[] = ["override", "content", "room", "sender", "underride"];
const CACHE = 1_000;
const MAX_PATTERN = 255;
/** Of one user, all together; bytes. */
export const MAX_PUSH_RULES = 65_536;

/** Users' push rules as they are stored, or the default ones; those used last are kept at hand. */
export class PushRules {
  readonly #store: ClientDataStore;
  readonly #cache = new Map<string, JsonObject>();

  constructor(store: ClientDataStore) {
    this.#store = store;
  }

  get(userId: string): JsonObject {
    const cached = this.#cache.get(userId);
    if (cached !== undefined) return cached;
    const stored = this.#store.accountData(userId, "", "m.push_rules")?.global;
    const rules = isObject(stored) ? stored : defaultPushRules(userId);
    if (this.#cache.size >= CACHE) this.#cache.clear();
    this.#cache.set(userId, rules);
    return rules;
  }

  /** To be called when a user's rules were written, or may have been. */
  forget(userId: string | undefined): void {
    if (userId === undefined) this.#cache.clear();
    else this.#cache.delete(userId);
  }
}

export function pushKind(text: string): PushKind {
  const kind = kinds.find((known) => known === text);
  if (kind === undefined) throw unrecognized(400, `${text} is not a kind of push rule`);
  return kind;
}

export function rulesOfKind(rules: JsonObject, kind: PushKind): JsonObject[] {
  const list = own(rules, kind);
  return Array.isArray(list) ? list.filter(isObject) : [];
}

/** One rule, or M_NOT_FOUND. */
export function findRule(rules: JsonObject, kind: PushKind, ruleId: string): JsonObject {
  const rule = rulesOfKind(rules, kind).find((known) => known.rule_id === ruleId);
  if (rule === undefined) throw notFound(`there is no ${kind} rule ${ruleId}`);
  return rule;
}

/** Parses the body of PUT /pushrules/global/{kind}/{ruleId}. */
export function parseRule(kind: PushKind, ruleId: string, body: JsonObject): JsonObject {
  if (ruleId.startsWith(".")) throw invalidParam("rules that begin with a dot are the server's");
  if (/[/\\]/.test(ruleId)) throw invalidParam("a rule's id has no slashes");
  const rule: JsonObject = { rule_id: ruleId, default: false, enabled: true, actions: parseActions(body) };
  if (kind === "content") {
    const pattern = optionalString(body, "pattern");
    if (pattern === undefined) throw invalidParam("a content rule needs a pattern");
    checkPattern(pattern);
    rule.pattern = pattern;
  }
  if (kind === "override" || kind === "underride") {
    const conditions = optionalArray(body, "conditions") ?? [];
    if (!conditions.every((condition) => isObject(condition) && typeof condition.kind === "string")) {
      throw badJson("each condition needs a kind");
    }
    for (const condition of conditions) if (isObject(condition)) checkPattern(condition.pattern);
    rule.conditions = conditions;
  }
  return rule;
}

/** Each message is compared with each pattern of each member. */
function checkPattern(pattern: unknown): void {
  if (typeof pattern === "string" && pattern.length > MAX_PATTERN)
    throw invalidParam(`a pattern may have ${MAX_PATTERN} characters`);
}

export function parseActions(body: JsonObject): unknown[] {
  const actions = optionalArray(body, "actions");
  if (actions === undefined) throw badJson("actions are missing");
  for (const action of actions) {
    const known =
      action === "notify" ||
      action === "dont_notify" ||
      action === "coalesce" ||
      (isObject(action) && typeof action.set_tweak === "string");
    if (!known) throw invalidParam("an action is notify or a tweak");
  }
  return actions;
}

/** Where a new or moved rule goes: beside the named one, else before all of the user's others. */
export interface Placement {
  readonly before: string | null;
  readonly after: string | null;
}

/** The rules with one added or replaced. User's rules stand before the server's, but for the master rule. */
export function withRule(rules: JsonObject, kind: PushKind, rule: JsonObject, place: Placement): JsonObject {
  const list = rulesOfKind(rules, kind);
  const others = list.filter((known) => known.rule_id !== rule.rule_id);
  const wasThere = list.findIndex((known) => known.rule_id === rule.rule_id);
  const beside = place.before ?? place.after;
  let index = wasThere >= 0 ? wasThere : Number(others[0]?.rule_id === ".m.rule.master");
  if (beside !== null) {
    const found = others.findIndex((known) => known.rule_id === beside);
    if (found < 0 || beside.startsWith(".")) throw notFound(`there is no rule ${beside} to put it beside`);
    index = place.before === null ? found + 1 : found;
  }
  return { ...rules, [kind]: others.toSpliced(index, 0, rule) };
}

/** The rules with one changed in place. */
export function withChange(
  rules: JsonObject,
  kind: PushKind,
  ruleId: string,
  change: JsonObject,
): JsonObject {
  findRule(rules, kind, ruleId);
  const list = rulesOfKind(rules, kind);
  return { ...rules, [kind]: list.map((rule) => (rule.rule_id === ruleId ? { ...rule, ...change } : rule)) };
}

export function withoutRule(rules: JsonObject, kind: PushKind, ruleId: string): JsonObject {
  const rule = findRule(rules, kind, ruleId);
  if (rule.default === true) throw notFound("the server's own rules can be disabled, not deleted");
  return { ...rules, [kind]: rulesOfKind(rules, kind).filter((known) => known !== rule) };
}
