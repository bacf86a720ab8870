/** A world for `admit` in which everything is in order, to be put out of order piece by piece. */
import type { TrustEntry } from "@mx-agent/ipc";
import { loadPolicy, type Machine } from "@mx-agent/policy";
import {
  EventTypes,
  encodePublicKey,
  importSigningKey,
  type SigningKey,
  signContent,
} from "@mx-agent/protocol";
import type { World } from "../../src/admit/world.ts";
import type { IncomingEvent } from "../../src/matrix/api.ts";

export const ROOM = "!room:example.org";
export const ALICE = "@alice:example.org";
export const BUILDER = "@builder:example.org";
export const NOW = Date.UTC(2030, 0, 1);

const keyOf = (byte: number) => importSigningKey(new Uint8Array(32).fill(byte));
export const aliceKey = keyOf(1);
export const builderKey = keyOf(2);
export const strangerKey = keyOf(3);

export type Content = Record<string, unknown>;

/** `sh` and `/srv` are there; nothing else is. */
export const machine: Machine = {
  home: "/home/builder",
  path: "/usr/bin",
  resolveCommand: (name) =>
    name === "sh" || name === "/usr/bin/sh"
      ? { path: "/usr/bin/sh", target: { path: "/usr/bin/dash", dev: 1, ino: 2 } }
      : null,
  resolveDirectory: (path) => (path === "/srv" ? { path, dev: 1, ino: 3 } : null),
};

export const policyText = `version = 1
[execution]
sandbox = "none"
network = "allow"
[rooms."${ROOM}"]
trusted = true
[rooms."${ROOM}".agents."${ALICE}"]
allow_exec = true
allow_unsandboxed = true
allow_commands = ["sh"]
allow_cwd = ["/srv"]
`;
export const policy = loadPolicy(policyText, "policy.toml", machine);

export const approval = (changes: Partial<TrustEntry> = {}): TrustEntry => ({
  room_id: ROOM,
  agent_id: "alice",
  user_id: ALICE,
  key_id: aliceKey.key_id,
  fingerprint: aliceKey.fingerprint,
  public_key: encodePublicKey(aliceKey.publicKey),
  status: "trusted",
  legacy: false,
  approved_at: new Date(NOW).toISOString(),
  expires_at: null,
  revoked_at: null,
  ...changes,
});

export function worldOf(changes: Partial<World> = {}): World {
  return {
    now: () => NOW,
    self: { user_id: BUILDER, key_id: builderKey.key_id, public_key: builderKey.publicKey },
    ownAgent: (room_id, agent_id) =>
      room_id === ROOM && agent_id === "builder"
        ? { room_id, agent_id, kind: "test", cwd: "/srv", capabilities: [], state_rev: 1 }
        : undefined,
    registeredAgent: (room_id, agent_id) => worldOf(changes).ownAgent(room_id, agent_id),
    trusted: (room_id, agent_id, key_id) =>
      room_id === ROOM && agent_id === "alice" && key_id === aliceKey.key_id ? approval() : undefined,
    isJoined: () => true,
    isEncrypted: () => false,
    claim: () => "fresh",
    policy,
    machine,
    under: null,
    running: () => 0,
    requestsInLastMinute: () => 0,
    ...changes,
  };
}

let made = 0;

/** The unsigned content of a request that is in order. */
export function request(changes: Content = {}): Content {
  const invocation_id = `inv_${++made}`;
  return {
    invocation_id,
    request_id: `req_${made}`,
    target_agent: "builder",
    requesting_agent: "alice",
    command: ["sh", "-c", "true"],
    cwd: "/srv",
    env: {},
    stdin: false,
    stream: true,
    pty: false,
    timeout_ms: 60_000,
    task_id: null,
    created_at: new Date(NOW).toISOString(),
    expires_at: new Date(NOW + 120_000).toISOString(),
    nonce: `nonce-${made}`,
    idempotency_key: `exec:${invocation_id}`,
    ...changes,
  };
}

export interface Signing {
  key?: SigningKey;
  room_id?: string;
  type?: string;
  sender?: string;
}

export function signed(content: Content, signing: Signing = {}): Content {
  const { key = aliceKey, room_id = ROOM, type = EventTypes.execRequest, sender = ALICE } = signing;
  return signContent(content, key, { room_id, type, sender, device_id: "DEVICE" });
}

export function eventOf(content: unknown, changes: Partial<IncomingEvent> = {}): IncomingEvent {
  return {
    kind: "timeline",
    inbox_id: 1,
    room_id: ROOM,
    event_id: "$event",
    sender: ALICE,
    type: EventTypes.execRequest,
    content,
    origin_server_ts: NOW,
    backfilled: false,
    transport: { encrypted: false },
    received_ts: NOW,
    ...changes,
  };
}
