import type { App } from "../app.ts";
import { forbidden } from "../http/errors.ts";
import type { JsonObject } from "../http/json.ts";
import type { StoredEvent } from "./event.ts";
import { serverOf } from "./ids.ts";
import { appendEvent } from "./timeline.ts";

/** The content of a membership event, with the target's display name and avatar where it has any. */
export function memberContent(app: App, userId: string, content: JsonObject): JsonObject {
  const profile = app.store.accounts.profile(userId);
  const displayname = profile.get("displayname");
  const avatar = profile.get("avatar_url");
  return {
    ...(displayname === undefined ? {} : { displayname }),
    ...(avatar === undefined ? {} : { avatar_url: avatar }),
    ...content,
  };
}

/** Refuses somebody of another server, whom an invitation could never reach (M_FORBIDDEN). */
export function requireLocal(app: App, userId: string): void {
  if (serverOf(userId) !== app.settings.serverName) {
    throw forbidden(`this homeserver does not federate: ${userId} can't be reached from here`);
  }
}

/** A change of membership that `sender` asks for. */
export interface MembershipChange {
  readonly roomId: string;
  readonly sender: string;
  readonly target: string;
  readonly membership: "join" | "invite" | "leave" | "ban" | "knock";
  readonly reason?: string | undefined;
}

/** Sends the membership event; M_FORBIDDEN as the rules say. A join of somebody joined changes nothing. */
export function changeMembership(app: App, change: MembershipChange): StoredEvent {
  if (change.membership === "invite") requireLocal(app, change.target);
  const current = app.store.events.state(change.roomId, "m.room.member", change.target);
  const repeated = change.membership === "join" && current?.content.membership === "join";
  if (repeated && change.sender === change.target) return current;
  const content: JsonObject = {
    membership: change.membership,
    ...(change.reason === undefined ? {} : { reason: change.reason }),
  };
  const named = change.membership === "leave" || change.membership === "ban";
  return appendEvent(app, {
    roomId: change.roomId,
    type: "m.room.member",
    stateKey: change.target,
    sender: change.sender,
    content: named ? content : memberContent(app, change.target, content),
  });
}
