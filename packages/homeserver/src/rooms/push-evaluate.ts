import { isObject, type JsonObject, own } from "../http/json.ts";
import { containsWords, globMatches, globMatchesWords } from "./glob.ts";

/** What push rules look at beside the event itself. */
export interface PushContext {
  readonly displayName: string | undefined;
  readonly memberCount: number;
  readonly senderLevel: number;
  /** The level that `notifications` in the power levels asks for. */
  notificationLevel(key: string): number;
}

/** The event as conditions address it: `type`, `sender`, `content.body`, … */
export interface PushEvent {
  readonly type: string;
  readonly sender: string;
  readonly room_id: string;
  readonly state_key?: string;
  readonly content: JsonObject;
}

export interface PushOutcome {
  readonly notify: boolean;
  readonly highlight: boolean;
}

const silent: PushOutcome = { notify: false, highlight: false };
const kinds = ["override", "content", "room", "sender", "underride"] as const;

/** What the first matching rule asks for ("Push Rules", in the order of their kinds). */
export function evaluatePush(rules: JsonObject, event: PushEvent, context: PushContext): PushOutcome {
  for (const kind of kinds) {
    const list = own(rules, kind);
    if (!Array.isArray(list)) continue;
    for (const rule of list) {
      if (!isObject(rule) || rule.enabled !== true || !matches(kind, rule, event, context)) continue;
      return outcomeOf(rule.actions);
    }
  }
  return silent;
}

function outcomeOf(actions: unknown): PushOutcome {
  if (!Array.isArray(actions) || !actions.includes("notify")) return silent;
  const tweak = actions.find((action) => isObject(action) && action.set_tweak === "highlight");
  return { notify: true, highlight: isObject(tweak) && tweak.value !== false };
}

function matches(
  kind: (typeof kinds)[number],
  rule: JsonObject,
  event: PushEvent,
  context: PushContext,
): boolean {
  switch (kind) {
    case "room":
      return rule.rule_id === event.room_id;
    case "sender":
      return rule.rule_id === event.sender;
    case "content":
      return typeof rule.pattern === "string" && matchesBody(rule.pattern, event.content.body);
    default:
      return (
        Array.isArray(rule.conditions) &&
        rule.conditions.every((condition) => isObject(condition) && holds(condition, event, context))
      );
  }
}

function matchesBody(pattern: string, body: unknown): boolean {
  return typeof body === "string" && globMatchesWords(pattern, body);
}

function holds(condition: JsonObject, event: PushEvent, context: PushContext): boolean {
  const { kind, key, pattern, value } = condition;
  switch (kind) {
    case "event_match": {
      if (typeof key !== "string" || typeof pattern !== "string") return false;
      const found = property(event, key);
      if (typeof found !== "string") return false;
      return key === "content.body" ? globMatchesWords(pattern, found) : globMatches(pattern, found);
    }
    case "event_property_is":
      return typeof key === "string" && property(event, key) === value;
    case "event_property_contains": {
      const found = typeof key === "string" ? property(event, key) : undefined;
      return Array.isArray(found) && found.includes(value);
    }
    case "contains_display_name": {
      const { body } = event.content;
      return (
        context.displayName !== undefined &&
        typeof body === "string" &&
        containsWords(context.displayName, body)
      );
    }
    case "room_member_count":
      return typeof condition.is === "string" && compares(context.memberCount, condition.is);
    case "sender_notification_permission":
      return typeof key === "string" && context.senderLevel >= context.notificationLevel(key);
    default:
      return false;
  }
}

/** The property at a dotted path; a backslash makes a dot part of a name. */
function property(event: PushEvent, path: string): unknown {
  const names = path.match(/(?:\\[\s\S]|[^.\\])+/g) ?? [];
  return names
    .map((name) => name.replace(/\\([.\\])/g, "$1"))
    .reduce<unknown>((value, name) => (isObject(value) ? own(value, name) : undefined), event);
}

function compares(count: number, is: string): boolean {
  const match = /^(==|<=|>=|<|>)?(\d{1,9})$/.exec(is);
  if (match === null) return false;
  const limit = Number(match[2]);
  switch (match[1]) {
    case "<":
      return count < limit;
    case ">":
      return count > limit;
    case "<=":
      return count <= limit;
    case ">=":
      return count >= limit;
    default:
      return count === limit;
  }
}
