import type { JsonObject } from "../http/json.ts";
import { authoriseMembership } from "./auth-membership.ts";
import { authorisePowerLevels } from "./auth-power-levels.ts";
import { namedLevel, requiredLevel, type StateView, userLevel } from "./levels.ts";

/**
 * The room version that this homeserver makes and serves.
 *
 * 11 is the newest whose rules suit what mx-agent writes: version 12 forbids naming the creator in the
 * power levels, and our workspaces state the creator's level. Every homeserver that people move on to
 * knows it, and so does the client library.
 */
export const ROOM_VERSION = "11";

/** An event that somebody wants to add to a room. */
export interface ProposedEvent {
  readonly type: string;
  readonly stateKey: string | null;
  readonly sender: string;
  readonly content: JsonObject;
}

/** `rule` is the number in the list of room version 11, "Authorization rules". */
export type Verdict =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly rule: string; readonly reason: string };

export const allow: Verdict = { allowed: true };
export const reject = (rule: string, reason: string): Verdict => ({ allowed: false, rule, reason });

/**
 * The authorisation rules of room version 11, in the specification's order. Left out is what needs other
 * servers: signatures (4.2), the choice of auth_events (2.1 to 2.3: on one server the current state is what
 * they would select) and senders of other domains (1.2, 3).
 */
export function authorise(event: ProposedEvent, state: StateView): Verdict {
  const create = state.get("m.room.create", "");
  if (event.type === "m.room.create") return authoriseCreate(event, create !== undefined);
  if (create === undefined) return reject("2.4", "the room has not been created");
  if (event.type === "m.room.member") return authoriseMembership(event, state);
  if (membership(state, event.sender) !== "join") return reject("5", `${event.sender} is not in the room`);
  if (event.type === "m.room.third_party_invite") {
    return userLevel(state, event.sender) >= namedLevel(state, "invite")
      ? allow
      : reject("6.1", "inviting needs a higher power level");
  }
  const required = requiredLevel(state, event.type, event.stateKey !== null);
  const level = userLevel(state, event.sender);
  if (required > level) {
    return reject("7", `sending ${event.type} needs power level ${required}, ${event.sender} has ${level}`);
  }
  if (event.stateKey?.startsWith("@") === true && event.stateKey !== event.sender) {
    return reject("8", `state with the key ${event.stateKey} can only be sent by that user`);
  }
  if (event.type === "m.room.power_levels") return authorisePowerLevels(event, state);
  return allow;
}

/** Rule 1: a create event comes first, and names a version that is known. */
function authoriseCreate(event: ProposedEvent, exists: boolean): Verdict {
  if (exists) return reject("1.1", "the room has been created already");
  const version = event.content.room_version;
  if (version !== undefined && version !== ROOM_VERSION) {
    return reject("1.3", `room version ${String(version)} is not known here`);
  }
  return allow;
}

/** The membership of a user, `leave` for somebody who was never there. */
export function membership(state: StateView, userId: string): string {
  const value = state.get("m.room.member", userId)?.content.membership;
  return typeof value === "string" ? value : "leave";
}
