import { isObject, type JsonObject, own } from "../http/json.ts";
import { allow, type ProposedEvent, reject, type Verdict } from "./auth.ts";
import { isUserId } from "./ids.ts";
import { levelDefaults, type StateView, userLevel } from "./levels.ts";

const levelNames = Object.keys(levelDefaults);

/** Rule 9 of room version 11: nobody gives, takes or changes more power than they have. */
export function authorisePowerLevels(event: ProposedEvent, state: StateView): Verdict {
  const malformed = checkShape(event.content);
  if (malformed !== undefined) return malformed;
  const current = state.get("m.room.power_levels", "")?.content;
  if (current === undefined) return allow;
  const level = userLevel(state, event.sender);
  for (const name of levelNames) {
    const verdict = checkChange(["9.5", "9.5"], name, own(current, name), own(event.content, name), level);
    if (verdict !== undefined) return verdict;
  }
  for (const table of ["events", "notifications"]) {
    for (const [key, before, after] of changes(own(current, table), own(event.content, table))) {
      const verdict = checkChange(["9.6", "9.7"], `${table}.${key}`, before, after, level);
      if (verdict !== undefined) return verdict;
    }
  }
  for (const [userId, before, after] of changes(own(current, "users"), own(event.content, "users"))) {
    if (typeof before === "number" && userId !== event.sender && before >= level) {
      return reject("9.8", `changing the level of ${userId} (${before}) needs more than ${level}`);
    }
    if (typeof after === "number" && after > level) {
      return reject("9.9", `${event.sender} has ${level} and can't give ${userId} ${after}`);
    }
  }
  return allow;
}

/** Rules 9.1 to 9.3: levels are integers, tables are objects of integers, users are user ids. */
export function checkShape(content: JsonObject): Verdict | undefined {
  for (const name of levelNames) {
    const value = own(content, name);
    if (value !== undefined && !Number.isSafeInteger(value))
      return reject("9.1", `${name} must be an integer`);
  }
  for (const table of ["events", "notifications", "users"]) {
    const rule = table === "users" ? "9.3" : "9.2";
    const value = own(content, table);
    if (value === undefined) continue;
    if (!isObject(value)) return reject(rule, `${table} must be an object`);
    for (const [key, level] of Object.entries(value)) {
      if (!Number.isSafeInteger(level)) return reject(rule, `${table}.${key} must be an integer`);
      if (table === "users" && !isUserId(key)) return reject(rule, `${key} is not a user id`);
    }
  }
  return undefined;
}

/** `rules`: the one that guards the level as it is, and the one that guards the level as it is to be. */
function checkChange(
  rules: readonly [string, string],
  name: string,
  before: unknown,
  after: unknown,
  level: number,
): Verdict | undefined {
  if (before === after) return undefined;
  if (typeof before === "number" && before > level) {
    return reject(rules[0], `changing ${name} from ${before} needs that power level`);
  }
  if (typeof after === "number" && after > level) {
    return reject(rules[1], `setting ${name} to ${after} needs that power level`);
  }
  return undefined;
}

/** Each key whose value differs, with what it was and what it would be. */
function changes(before: unknown, after: unknown): [string, unknown, unknown][] {
  const old = isObject(before) ? before : {};
  const next = isObject(after) ? after : {};
  const keys = new Set([...Object.keys(old), ...Object.keys(next)]);
  return [...keys]
    .map((key): [string, unknown, unknown] => [key, own(old, key), own(next, key)])
    .filter(([, from, to]) => from !== to);
}
