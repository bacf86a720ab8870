import { EventTypes, parseContent } from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { Rooms } from "../matrix/api.ts";

type Written = { sender: string; content: unknown };

/**
 * The device of another daemon of this user that a room's agent state names: that one answers for the agent, so
 * that of two daemons with one name a request runs on one. undefined where it is this daemon, or no daemon of
 * this user's: what others write over an agent takes it from nobody.
 */
export function answeredElsewhere(
  room_id: string,
  agent_id: string,
  { rooms, identity }: { rooms: Rooms; identity: Identity },
): string | undefined {
  const state = rooms.stateEvent(room_id, EventTypes.agent, agent_id);
  return state && otherDaemon(state, identity);
}

/** Which other daemon of this user wrote an agent state, by its device. */
export function otherDaemon(state: Written, identity: Identity): string | undefined {
  if (state.sender !== identity.account.user_id) return undefined;
  const parsed = parseContent(EventTypes.agent, state.content);
  if (!parsed.ok || parsed.value.status === "offline") return undefined;
  const { signing_key_id, device_id } = parsed.value;
  return identity.isSelf(signing_key_id, device_id) ? undefined : device_id;
}
