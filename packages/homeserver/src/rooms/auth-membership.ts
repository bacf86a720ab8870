import { allow, membership, type ProposedEvent, reject, type Verdict } from "./auth.ts";
import { namedLevel, type StateView, userLevel } from "./levels.ts";

/** Rule 4 of room version 11: who may bring whom to which membership. */
export function authoriseMembership(event: ProposedEvent, state: StateView): Verdict {
  const target = event.stateKey;
  if (target === null || typeof event.content.membership !== "string") {
    return reject("4.1", "a membership event needs a state key and a membership");
  }
  if (event.content.join_authorised_via_users_server !== undefined) {
    return reject("4.2", "restricted joins are not supported on this homeserver");
  }
  switch (event.content.membership) {
    case "join":
      return authoriseJoin(event.sender, target, state);
    case "invite":
      return authoriseInvite(event, target, state);
    case "leave":
      return authoriseLeave(event.sender, target, state);
    case "ban":
      return authoriseBan(event.sender, target, state);
    case "knock":
      return authoriseKnock(event.sender, target, state);
    default:
      return reject("4.8", `${event.content.membership} is not a membership`);
  }
}

function authoriseJoin(sender: string, target: string, state: StateView): Verdict {
  const creator = state.get("m.room.create", "")?.sender;
  // Nothing but the create event came before: there is no membership of the creator yet.
  if (creator === target && sender === target && isNew(state, target)) return allow;
  if (sender !== target) return reject("4.3.2", "nobody can join somebody else to a room");
  const current = membership(state, sender);
  if (current === "ban") return reject("4.3.3", `${sender} is banned from the room`);
  const rule = joinRule(state);
  if (rule === "public") return allow;
  if (rule === "invite" || rule === "knock" || rule === "restricted" || rule === "knock_restricted") {
    return current === "invite" || current === "join"
      ? allow
      : reject(
          rule === "invite" || rule === "knock" ? "4.3.4" : "4.3.5",
          rule === "invite" || rule === "knock"
            ? `${sender} is not invited to the room`
            : `restricted joins are not supported here, and ${sender} is not invited to the room`,
        );
  }
  return reject("4.3.7", `the join rule ${rule} lets nobody in`);
}

function isNew(state: StateView, creator: string): boolean {
  return (
    state.get("m.room.member", creator) === undefined &&
    state.get("m.room.join_rules", "") === undefined &&
    state.get("m.room.power_levels", "") === undefined
  );
}

function authoriseInvite(event: ProposedEvent, target: string, state: StateView): Verdict {
  if (event.content.third_party_invite !== undefined) {
    return reject("4.4.1", "third-party invites are not supported on this homeserver");
  }
  if (membership(state, event.sender) !== "join") {
    return reject("4.4.2", `${event.sender} is not in the room`);
  }
  const current = membership(state, target);
  if (current === "join") return reject("4.4.3", `${target} is already in the room`);
  if (current === "ban") return reject("4.4.3", `${target} is banned from the room`);
  return userLevel(state, event.sender) >= namedLevel(state, "invite")
    ? allow
    : reject("4.4.5", "inviting needs a higher power level");
}

function authoriseLeave(sender: string, target: string, state: StateView): Verdict {
  const current = membership(state, target);
  if (sender === target) {
    return current === "invite" || current === "join" || current === "knock"
      ? allow
      : reject("4.5.1", `${sender} is not in the room`);
  }
  if (membership(state, sender) !== "join") return reject("4.5.2", `${sender} is not in the room`);
  const level = userLevel(state, sender);
  if (current === "ban" && level < namedLevel(state, "ban")) {
    return reject("4.5.3", "lifting a ban needs a higher power level");
  }
  return level >= namedLevel(state, "kick") && userLevel(state, target) < level
    ? allow
    : reject("4.5.5", `removing ${target} needs a higher power level`);
}

function authoriseBan(sender: string, target: string, state: StateView): Verdict {
  if (membership(state, sender) !== "join") return reject("4.6.1", `${sender} is not in the room`);
  const level = userLevel(state, sender);
  return level >= namedLevel(state, "ban") && userLevel(state, target) < level
    ? allow
    : reject("4.6.3", `banning ${target} needs a higher power level`);
}

function authoriseKnock(sender: string, target: string, state: StateView): Verdict {
  const rule = joinRule(state);
  if (rule !== "knock" && rule !== "knock_restricted") {
    return reject("4.7.1", "the room does not let people knock");
  }
  if (sender !== target) return reject("4.7.2", "nobody can knock for somebody else");
  const current = membership(state, sender);
  if (current === "ban") return reject("4.7.4", `${sender} is banned from the room`);
  if (current === "invite" || current === "join") {
    return reject("4.7.4", `${sender} is already ${current === "join" ? "in" : "invited to"} the room`);
  }
  return allow;
}

function joinRule(state: StateView): string {
  const rule = state.get("m.room.join_rules", "")?.content.join_rule;
  return typeof rule === "string" ? rule : "invite";
}
