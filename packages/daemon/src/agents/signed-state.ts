import {
  type AgentState,
  decodePublicKey,
  EventTypes,
  keyIdOf,
  parseContent,
  verifyBinding,
  verifySignature,
} from "@mx-agent/protocol";
import type { Rooms, StateEvent } from "../matrix/api.ts";

export interface ShownState {
  state: AgentState;
  sender: string;
  /** The key that it carries, where it is the one that its key id names. */
  public_key: Uint8Array | undefined;
  /** It was written by the user that it names, and signed with the key that it carries. */
  vouched: boolean;
}

/** An agent's state as the room shows it, and what it proves by itself; undefined where it cannot be read. */
export function shownState(rooms: Rooms, room_id: string, agent_id: string): ShownState | undefined {
  const event = rooms.stateEvent(room_id, EventTypes.agent, agent_id);
  return event && stateIn(event, room_id, agent_id);
}

/** As `shownState`, of that event of the room. */
export function stateIn(
  event: Pick<StateEvent, "sender" | "content">,
  room_id: string,
  agent_id: string,
): ShownState | undefined {
  const parsed = parseContent(EventTypes.agent, event.content);
  if (!parsed.ok) return undefined;
  const state = parsed.value;
  const carried =
    state.signing_public_key === undefined ? undefined : decodePublicKey(state.signing_public_key);
  const public_key = carried && keyIdOf(carried) === state.signing_key_id ? carried : undefined;
  const carrier = { room_id, type: EventTypes.agent, sender: event.sender, device_id: null };
  const vouched =
    public_key !== undefined &&
    state.agent_id === agent_id &&
    state.matrix_user_id === event.sender &&
    verifyBinding(state, carrier) === "ok" &&
    verifySignature(state, public_key) === "ok";
  return { state, sender: event.sender, public_key, vouched };
}
