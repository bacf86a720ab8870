import { EventTypes } from "@mx-agent/protocol";
import type { Rooms } from "../matrix/api.ts";
import type { PeerHead, PeerHeads } from "../state/peer-heads.ts";
import type { TrustTable } from "../state/trust.ts";
import { shownState } from "./signed-state.ts";

export interface PeerStatesParts {
  rooms: Rooms;
  trust: TrustTable;
  peerHeads: PeerHeads;
  /** An approved key is in use, and the one that announced it is revoked. */
  onSuperseded(revoked: NonNullable<ReturnType<TrustTable["supersede"]>>): void;
  /** What an agent published of its audit log cannot be so: told once for each agent. */
  onContradiction(room_id: string, agent_id: string, what: string): void;
  now(): number;
}

/** What other agents' signed states tell, each under the key that is approved here; what nobody approved tells nothing. */
export class PeerStates {
  readonly #parts: PeerStatesParts;
  readonly #told = new Set<string>();

  constructor(parts: PeerStatesParts) {
    this.#parts = parts;
  }

  /** All that the rooms show now: for what came in a gap, or before a key was approved. */
  readAll(): void {
    const { rooms, trust } = this.#parts;
    for (const { room_id, agent_id, status } of trust.list(null))
      if (status === "trusted" && rooms.get(room_id)) this.read(room_id, agent_id);
  }

  onState(event: { type: string; room_id: string | null; state_key?: string }): void {
    if (event.type === EventTypes.agent && event.room_id !== null && event.state_key !== undefined)
      this.read(event.room_id, event.state_key);
  }

  read(room_id: string, agent_id: string): void {
    const { rooms, trust, peerHeads, onSuperseded, onContradiction, now } = this.#parts;
    const shown = shownState(rooms, room_id, agent_id);
    if (!shown?.vouched) return;
    const { state, sender } = shown;
    const entry = trust.find(room_id, agent_id, state.signing_key_id);
    if (entry?.status !== "trusted" || entry.user_id !== sender) return;
    const superseded = trust.supersede(room_id, agent_id, entry.key_id);
    if (superseded) onSuperseded(superseded);
    if (!state.audit_head) return;
    const { seq, sha256 } = state.audit_head;
    const { key_id } = entry;
    const head = { room_id, agent_id, key_id, seq, sha256, published_ts: state.last_seen_ts };
    peerHeads.remember({ ...head, seen_ts: now() });
    const what = contradictionIn(peerHeads.list(room_id, agent_id));
    const name = `${room_id} ${agent_id}`;
    if (what === undefined || this.#told.has(name)) return;
    this.#told.add(name);
    onContradiction(room_id, agent_id, what);
  }
}

/**
 * What cannot be so of a log that only grows: a later head with a smaller number, or two heads for one number.
 * `heads` are in the order in which they were published.
 */
export function contradictionIn(heads: readonly PeerHead[]): string | undefined {
  const latest = new Map<string, PeerHead>();
  const hashes = new Map<string, string>();
  for (const head of heads) {
    const before = latest.get(head.key_id);
    const at = `${head.key_id} ${head.seq}`;
    const known = hashes.get(at);
    if (known !== undefined && known !== head.sha256)
      return `its audit log was rewritten: line ${head.seq} was published as ${known} and as ${head.sha256}`;
    if (before && head.seq < before.seq)
      return `its audit log was cut: line ${before.seq} was published, and later line ${head.seq} as its last`;
    latest.set(head.key_id, head);
    hashes.set(at, head.sha256);
  }
  return undefined;
}
