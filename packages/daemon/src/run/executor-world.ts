import type { Machine } from "@mx-agent/policy";
import type { Claim, World } from "../admit/world.ts";
import { answeredElsewhere } from "../agents/elsewhere.ts";
import type { Auditor } from "../audit-entries.ts";
import type { Identity } from "../identity.ts";
import type { Outbox, Rooms } from "../matrix/api.ts";
import type { PolicyFile } from "../policy-file.ts";
import type { EarlyRefusals } from "../receive/refusals.ts";
import type { Database } from "../state/database.ts";
import type { ExecutionTable } from "../state/executions.ts";
import type { NonceTable } from "../state/nonces.ts";
import type { OwnAgents } from "../state/own-agents.ts";
import type { TrustTable } from "../state/trust.ts";

const MINUTE_MS = 60_000;

export interface ExecutorParts {
  db: Database;
  executions: ExecutionTable;
  nonces: NonceTable;
  ownAgents: OwnAgents;
  trust: TrustTable;
  policy: Pick<PolicyFile, "current">;
  machine: Machine;
  audit: Auditor;
  early: EarlyRefusals;
  identity: Identity;
  rooms: Rooms;
  outbox: Outbox;
  now(): number;
}

/** What the executing side works with, and what it shows the checks of it. */
export interface ExecutorWorld extends ExecutorParts {
  forAdmission(claim: (claim: Claim) => "fresh" | "replayed" | "full"): World;
}

type AdmissionParts = Pick<
  ExecutorParts,
  "executions" | "ownAgents" | "trust" | "policy" | "machine" | "now"
> & { self: World["self"]; rooms: Pick<Rooms, "isJoined" | "get"> };

/** What is shown to the checks of a run that was admitted: it needs no session. */
export function worldOfRun(parts: AdmissionParts): World {
  return {
    now: parts.now,
    self: parts.self,
    ownAgent: (room_id, agent_id) => parts.ownAgents.find(room_id, agent_id),
    registeredAgent: (room_id, agent_id) => parts.ownAgents.findRegistered(room_id, agent_id),
    trusted: (room_id, agent_id, key_id) => parts.trust.find(room_id, agent_id, key_id),
    isJoined: (room_id, user_id) => parts.rooms.isJoined(room_id, user_id),
    isEncrypted: (room_id) => parts.rooms.get(room_id)?.encrypted ?? false,
    claim: () => "fresh",
    policy: parts.policy.current(),
    machine: parts.machine,
    under: null,
    running: (room_id, user_id) => parts.executions.countRunning(room_id, user_id),
    requestsInLastMinute: (room_id, user_id) =>
      parts.executions.countSince(room_id, user_id, parts.now() - MINUTE_MS),
  };
}

export function executorWorld(parts: ExecutorParts): ExecutorWorld {
  return {
    ...parts,
    forAdmission: (claim) => ({
      ...worldOfRun({ ...parts, self: selfOf(parts.identity) }),
      ownAgent: (room_id, agent_id) =>
        answeredElsewhere(room_id, agent_id, parts) === undefined
          ? parts.ownAgents.find(room_id, agent_id)
          : undefined,
      claim,
    }),
  };
}

function selfOf({ account, key }: Identity): World["self"] {
  return { user_id: account.user_id, key_id: key.key_id, public_key: key.publicKey };
}
