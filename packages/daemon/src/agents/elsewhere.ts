import { EventTypes, parseContent } from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { Rooms } from "../matrix/api.ts";
import { stateIn } from "./signed-state.ts";

interface Written {
  sender: string;
  content: unknown;
}

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
  const written = rooms.stateEvent(room_id, EventTypes.agent, agent_id);
  return written && otherDaemon(written, room_id, agent_id, identity);
}

/**
 * Which other daemon of this user wrote an agent state, by its device. The sender is the homeserver's word: it
 * counts only where the state is signed, for this room and user, with the key that it names and carries.
 */
export function otherDaemon(
  written: Written,
  room_id: string,
  agent_id: string,
  identity: Identity,
): string | undefined {
  if (written.sender !== identity.account.user_id) return undefined;
  const parsed = parseContent(EventTypes.agent, written.content);
  if (!parsed.ok || parsed.value.status === "offline") return undefined;
  const { signing_key_id, device_id } = parsed.value;
  if (identity.isSelf(signing_key_id, device_id)) return undefined;
  return stateIn(written, room_id, agent_id)?.vouched === true ? device_id : undefined;
}
