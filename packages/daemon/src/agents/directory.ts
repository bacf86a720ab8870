import { mxError, shellWord } from "@mx-agent/base";
import type { AgentInfo, Liveness } from "@mx-agent/ipc";
import {
  ACTIVE_WITHIN_MS,
  AGENT_REFRESH_MS,
  type AgentState,
  decodePublicKey,
  EventTypes,
  fingerprintOf,
  keyIdOf,
  parseContent,
  STALE_WITHIN_MS,
  verifyBinding,
  verifySignature,
} from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { Rooms, StateEvent } from "../matrix/api.ts";
import type { OwnAgents } from "../state/own-agents.ts";
import type { TrustTable } from "../state/trust.ts";

export interface DirectoryParts {
  rooms: Rooms;
  trust: TrustTable;
  ownAgents: OwnAgents;
  identity: Identity;
  /** Heartbeats of peers of the first protocol: the latest time an agent of a room was heard. */
  lastHeard(room_id: string, agent_id: string): number | undefined;
  now(): number;
}

/** Who says to be in a room, with what an operator should know about each. It grants and redirects nothing. */
export class AgentDirectory {
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  /** One malformed state is left out; it never hides the others. */
  list(room_id: string): AgentInfo[] {
    return this.#parts.rooms
      .state(room_id, EventTypes.agent)
      .map((event) => this.#info(room_id, event))
      .filter((info) => info !== undefined)
      .sort((a, b) => (a.agent_id < b.agent_id ? -1 : 1));
  }

  find(room_id: string, agent_id: string): AgentInfo {
    const found = this.list(room_id).find((agent) => agent.agent_id === agent_id);
    if (found) return found;
    throw mxError("MX_NOT_FOUND", {
      what: "agent",
      name: agent_id,
      hint: `mx-agent agent list --room ${shellWord(room_id)} shows who is there`,
    });
  }

  /** The public key that an agent's state carries, where it is the one that its key id names. */
  publicKey(room_id: string, agent_id: string): Uint8Array | undefined {
    const event = this.#parts.rooms.stateEvent(room_id, EventTypes.agent, agent_id);
    const parsed = event && parseContent(EventTypes.agent, event.content);
    if (!parsed?.ok || parsed.value.signing_public_key === undefined) return undefined;
    const key = decodePublicKey(parsed.value.signing_public_key);
    return key && keyIdOf(key) === parsed.value.signing_key_id ? key : undefined;
  }

  /** Whether the agent's state was written and signed by the user and the key that it names. */
  vouchesForItself(room_id: string, agent_id: string): boolean {
    const event = this.#parts.rooms.stateEvent(room_id, EventTypes.agent, agent_id);
    const key = this.publicKey(room_id, agent_id);
    if (!event || !key || typeof event.content !== "object" || event.content === null) return false;
    const carrier = { room_id, type: event.type, sender: event.sender, device_id: null };
    const { matrix_user_id }: { matrix_user_id?: unknown } = event.content;
    return (
      matrix_user_id === event.sender &&
      verifyBinding(event.content, carrier) === "ok" &&
      verifySignature(event.content, key) === "ok"
    );
  }

  #info(room_id: string, event: StateEvent): AgentInfo | undefined {
    const parsed = parseContent(EventTypes.agent, event.content);
    if (!parsed.ok || parsed.value.agent_id !== event.state_key) return undefined;
    const state = parsed.value;
    const { ownAgents, trust, identity, now } = this.#parts;
    const key = this.publicKey(room_id, state.agent_id);
    const approved = trust.current(room_id, state.agent_id);
    const mine = ownAgents.find(room_id, state.agent_id) !== undefined;
    const seen = Math.max(state.last_seen_ts, this.#parts.lastHeard(room_id, state.agent_id) ?? 0);
    return {
      agent_id: state.agent_id,
      room_id,
      kind: state.kind,
      user_id: state.matrix_user_id,
      device_id: state.device_id,
      key_id: state.signing_key_id,
      fingerprint: key ? fingerprintOf(key) : "",
      status: state.status,
      liveness: mine && event.sender === identity.account.user_id ? "active" : liveness(state, seen, now()),
      last_seen_ts: seen,
      capabilities: state.capabilities,
      tools: state.tools,
      workspace: state.workspace,
      load: state.load,
      mine,
      trusted:
        mine || (approved?.user_id === state.matrix_user_id && approved.key_id === state.signing_key_id),
      warnings: warnings(state, event, approved, mine && event.sender !== identity.account.user_id),
    };
  }
}

function liveness(state: AgentState, seen: number, now: number): Liveness {
  if (state.status === "offline") return "offline";
  const age = now - seen;
  if (age < ACTIVE_WITHIN_MS) return "active";
  return age < AGENT_REFRESH_MS + STALE_WITHIN_MS ? "stale" : "offline";
}

function warnings(
  state: AgentState,
  event: StateEvent,
  approved: { user_id: string; key_id: string } | undefined,
  overwritten: boolean,
): string[] {
  const found: string[] = [];
  if (overwritten) found.push(`this agent is ours, and its state was written by ${event.sender}`);
  if (event.sender !== state.matrix_user_id)
    found.push(`written by ${event.sender}, names ${state.matrix_user_id}`);
  if (approved && approved.user_id !== state.matrix_user_id)
    found.push(`the approved key belongs to ${approved.user_id}, not to ${state.matrix_user_id}`);
  if (approved && approved.key_id !== state.signing_key_id)
    found.push("shows another key than the approved one; requests still go to the approved one");
  return found;
}
