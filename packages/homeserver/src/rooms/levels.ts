import type { JsonObject } from "../http/json.ts";

/** What the authorisation rules may look at: the current state, by type and key. */
export interface StateView {
  get(type: string, stateKey: string): { readonly sender: string; readonly content: JsonObject } | undefined;
}

/** The levels that stand directly in m.room.power_levels, and what they are when absent. */
export const levelDefaults = {
  users_default: 0,
  events_default: 0,
  state_default: 50,
  ban: 50,
  redact: 50,
  kick: 50,
  invite: 0,
} as const;

export type LevelName = keyof typeof levelDefaults;

/** Levels by name or by user, as m.room.power_levels has them ("m.room.power_levels"). */
function integer(content: JsonObject | undefined, key: string): number | undefined {
  if (content === undefined || !Object.hasOwn(content, key)) return undefined;
  const value = content[key];
  return Number.isSafeInteger(value) ? (value as number) : undefined;
}

function nested(content: JsonObject | undefined, key: string): JsonObject | undefined {
  const value = content?.[key];
  return typeof value === "object" && value !== null ? (value as JsonObject) : undefined;
}

/** One of the named levels. Without a power levels event, sending state needs 0. */
export function namedLevel(state: StateView, name: LevelName): number {
  const content = state.get("m.room.power_levels", "")?.content;
  if (content === undefined && name === "state_default") return 0;
  return integer(content, name) ?? levelDefaults[name];
}

/** A user's level. Without a power levels event the room's creator has 100, everybody else 0. */
export function userLevel(state: StateView, userId: string): number {
  const content = state.get("m.room.power_levels", "")?.content;
  if (content === undefined) return state.get("m.room.create", "")?.sender === userId ? 100 : 0;
  return integer(nested(content, "users"), userId) ?? integer(content, "users_default") ?? 0;
}

/** The level needed to send an event of a type. */
export function requiredLevel(state: StateView, type: string, isState: boolean): number {
  const content = state.get("m.room.power_levels", "")?.content;
  return (
    integer(nested(content, "events"), type) ??
    namedLevel(state, isState ? "state_default" : "events_default")
  );
}
