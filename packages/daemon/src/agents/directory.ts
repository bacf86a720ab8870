import { mxError, shellWord } from "@mx-agent/base";
import type { AgentInfo, Liveness } from "@mx-agent/ipc";
import {
  ACTIVE_WITHIN_MS,
  AGENT_REFRESH_MS,
  type AgentState,
  EventTypes,
  fingerprintOf,
  parseContent,
  STALE_WITHIN_MS,
} from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { Rooms, StateEvent } from "../matrix/api.ts";
import type { OwnAgents } from "../state/own-agents.ts";
import type { PeerHeads } from "../state/peer-heads.ts";
import type { TrustTable } from "../state/trust.ts";
import { type AnnouncedKey, announcedKey } from "../trust/announced.ts";
import { typed } from "../typed.ts";
import { contradictionIn } from "./peer-states.ts";
import { shownState } from "./signed-state.ts";

export interface DirectoryParts {
  rooms: Rooms;
  trust: TrustTable;
  ownAgents: OwnAgents;
  identity: Identity;
  /** Heartbeats of peers of the first protocol: the latest time an agent of a room was heard. */
  lastHeard(room_id: string, agent_id: string): number | undefined;
  peerHeads: PeerHeads;
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
      hint: `\`mx-agent agent list --room ${shellWord(room_id)}\` shows who is there`,
    });
  }

  /** The public key that an agent's state carries, where it is the one that its key id names. */
  publicKey(room_id: string, agent_id: string): Uint8Array | undefined {
    return shownState(this.#parts.rooms, room_id, agent_id)?.public_key;
  }

  /** Whether the agent's state was written and signed by the user and the key that it names. */
  vouchesForItself(room_id: string, agent_id: string): boolean {
    return shownState(this.#parts.rooms, room_id, agent_id)?.vouched === true;
  }

  /** The key that this agent's approved key announced as the next one. */
  announced(room_id: string, agent_id: string): AnnouncedKey | undefined {
    return announcedKey(room_id, agent_id, this.#parts);
  }

  #info(room_id: string, event: StateEvent): AgentInfo | undefined {
    const parsed = parseContent(EventTypes.agent, event.content);
    if (!parsed.ok || parsed.value.agent_id !== event.state_key) return undefined;
    const state = parsed.value;
    const { ownAgents, trust, identity, now } = this.#parts;
    const key = this.publicKey(room_id, state.agent_id);
    const announced = this.announced(room_id, state.agent_id);
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
      audit_head: this.#head(room_id, state),
      announced: announced ? { fingerprint: announced.fingerprint, approved: announced.approved } : null,
      warnings: [
        ...warnings(state, event, approved, mine && event.sender !== identity.account.user_id),
        ...announcement(announced, room_id, state.agent_id),
        ...this.#contradiction(room_id, state.agent_id),
      ],
    };
  }

  /** The last head of its audit log that is remembered here: of a state that its approved key signed. */
  #head(room_id: string, { agent_id, signing_key_id }: AgentState): AgentInfo["audit_head"] {
    const heads = this.#parts.peerHeads.list(room_id, agent_id);
    const last = heads.findLast(({ key_id }) => key_id === signing_key_id);
    if (!last) return null;
    const { seq, sha256, seen_ts } = last;
    return { seq, sha256, seen_at: new Date(seen_ts).toISOString() };
  }

  #contradiction(room_id: string, agent_id: string): string[] {
    const what = contradictionIn(this.#parts.peerHeads.list(room_id, agent_id));
    return what === undefined
      ? []
      : [
          `${what}; compare there: mx-agent audit verify --heads, with what mx-agent audit heads --json shows here`,
        ];
  }
}

function liveness(state: AgentState, seen: number, now: number): Liveness {
  if (state.status === "offline") return "offline";
  const age = now - seen;
  if (age < ACTIVE_WITHIN_MS) return "active";
  return age < AGENT_REFRESH_MS + STALE_WITHIN_MS ? "stale" : "offline";
}

function announcement(announced: AnnouncedKey | undefined, room_id: string, agent_id: string): string[] {
  if (!announced || announced.approved) return [];
  const since = announced.in_use ? "has a new key" : "announces a new key";
  return [
    `${since}, ${announced.fingerprint}, signed by the approved one; to approve it: mx-agent trust approve --room ${typed(room_id, "ROOM")} ${typed(agent_id, "AGENT")}`,
  ];
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
