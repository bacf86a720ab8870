import { mxError, shellWord } from "@mx-agent/base";
import type { Target } from "@mx-agent/ipc";
import { encodePublicKey } from "@mx-agent/protocol";
import { agentState } from "../agents/registry.ts";
import type { Identity } from "../identity.ts";
import type { Rooms } from "../matrix/api.ts";
import type { OwnAgents } from "../state/own-agents.ts";
import type { TrustTable } from "../state/trust.ts";
import { announcedKey } from "../trust/announced.ts";
import { typed } from "../typed.ts";

/** Whom a request goes to: the key that was approved for that name in that room, and whose it is. */
export interface ResolvedTarget {
  room_id: string;
  agent: string;
  user_id: string;
  key_id: string;
  /** Base64 without padding. */
  public_key: string;
  legacy: boolean;
  requesting_agent: string;
  /** The target's own working directory, from its agent state; empty when it names none. */
  cwd: string;
}

export interface TargetParts {
  rooms: Rooms;
  trust: TrustTable;
  ownAgents: OwnAgents;
  identity: Identity;
}

/**
 * What `--room` and `--agent` mean. The room's agent state never redirects it: user and key are those that were
 * approved here (PROTOCOL.md, "State events"). MX_NOT_FOUND, MX_UNTRUSTED, MX_BAD_INPUT.
 */
export async function resolveTarget(target: Target, parts: TargetParts): Promise<ResolvedTarget> {
  const { rooms, ownAgents, identity } = parts;
  const room = await rooms.resolve(target.room);
  const { room_id } = room;
  const mine = ownAgents.list(room_id);
  const requester = mine[0];
  if (!requester)
    throw mxError("MX_NOT_FOUND", {
      what: "agent of this machine in the room",
      name: room.name ?? room_id,
      hint: `register one, so that others can tell who asks: \`mx-agent agent register --room ${shellWord(room_id)}\``,
    });
  const common = { room_id, agent: target.agent, requesting_agent: requester.agent_id };
  const own = mine.find((agent) => agent.agent_id === target.agent);
  if (own) {
    const { key, account } = identity;
    const public_key = encodePublicKey(key.publicKey);
    return {
      ...common,
      user_id: account.user_id,
      key_id: key.key_id,
      public_key,
      legacy: false,
      cwd: own.cwd,
    };
  }
  const state = agentState(rooms, room_id, target.agent);
  const entry = parts.trust.current(room_id, target.agent);
  if (!entry) {
    if (!state)
      throw mxError("MX_NOT_FOUND", {
        what: "agent",
        name: target.agent,
        hint: `\`mx-agent agent list --room ${shellWord(room_id)}\` shows who is there`,
      });
    throw mxError("MX_UNTRUSTED", { agent: target.agent, room: room_id });
  }
  const announced = announcedKey(room_id, target.agent, parts);
  // Requests under the old key would wait for answers that come under the new one.
  if (announced?.in_use && announced.from_key_id === entry.key_id)
    throw mxError(
      "MX_UNTRUSTED",
      { agent: target.agent, room: room_id },
      {
        hint: `it signs with a new key now, ${announced.fingerprint}, which the approved one announced: mx-agent trust approve --room ${typed(room_id, "ROOM")} ${typed(target.agent, "AGENT")}`,
      },
    );
  return {
    ...common,
    user_id: entry.user_id,
    key_id: entry.key_id,
    public_key: entry.public_key,
    legacy: entry.legacy,
    cwd: state?.matrix_user_id === entry.user_id ? state.workspace.cwd : "",
  };
}
