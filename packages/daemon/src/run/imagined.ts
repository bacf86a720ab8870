import { EventTypes, newId, newNonce } from "@mx-agent/protocol";
import type { IncomingEvent } from "../matrix/api.ts";
import type { ExecutorWorld } from "./executor-world.ts";

export interface ImaginedRequest {
  room_id: string;
  user: string;
  /** The requesting agent; null takes any of that user whose key is approved. */
  agent: string | null;
  command: string[];
  cwd: string | null;
  env: string[];
  tool: string | null;
}

/** The event that such a request would arrive in; its signature and freshness are taken as settled. */
export function imaginedEvent(imagined: ImaginedRequest, world: ExecutorWorld): IncomingEvent {
  const { room_id, user: sender } = imagined;
  const { identity } = world;
  const own = sender === identity.account.user_id;
  const entries = world.trust
    .list(room_id)
    .filter(({ user_id, agent_id }) => user_id === sender && agent_id === (imagined.agent ?? agent_id));
  // Of several keys that were approved for a name, the one that counts now.
  const entry = entries.find(({ status }) => status === "trusted") ?? entries.at(-1);
  const key_id = own ? identity.key.key_id : (entry?.key_id ?? "mxagent-ed25519:unknown");
  const now = world.now();
  const invocation_id = newId("inv", now);
  const common = {
    invocation_id,
    request_id: newId("req", now),
    requesting_agent: imagined.agent ?? entry?.agent_id ?? "unknown",
    target_agent: world.ownAgents.list(room_id)[0]?.agent_id ?? "unregistered",
    created_at: new Date(now).toISOString(),
    expires_at: new Date(now + 60_000).toISOString(),
    nonce: newNonce(),
    signature: { alg: "ed25519", key_id, sig: Buffer.alloc(64).toString("base64") },
  };
  const content =
    imagined.tool === null
      ? {
          ...common,
          command: imagined.command,
          cwd: imagined.cwd ?? "",
          env: Object.fromEntries(imagined.env.map((name) => [name, ""])),
          stdin: false,
          stream: true,
          pty: false,
          timeout_ms: 0,
          task_id: null,
          idempotency_key: `exec:${invocation_id}`,
        }
      : { ...common, tool: imagined.tool, args: {} };
  return {
    kind: "timeline",
    inbox_id: 0,
    room_id,
    event_id: null,
    sender,
    type: imagined.tool === null ? EventTypes.execRequest : EventTypes.callRequest,
    content,
    origin_server_ts: now,
    backfilled: false,
    transport: { encrypted: false },
    received_ts: now,
  };
}
