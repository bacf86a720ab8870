import type { CallParams, ExecParams } from "@mx-agent/ipc";
import { EventTypes, newId, newNonce } from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";

/** How long a request may wait for its target, in milliseconds; it is not run after that. */
export const REQUEST_LIFETIME_MS = 120_000;
/** A detached one waits as long as the protocol lets it. */
export const DETACHED_LIFETIME_MS = 600_000;
/** Asked for where the caller names no timeout; the target's policy has the last word. */
const DEFAULT_TIMEOUT_MS = 24 * 3_600_000;

export interface Built {
  invocation_id: string;
  request_id: string;
  expires_ts: number;
  type: string;
  /** Signed. */
  content: object;
}

export interface Parties {
  room_id: string;
  requesting_agent: string;
  /** The target's key that was approved here: of several daemons of its user, only that one runs the request. */
  key_id: string;
  /** The target's own default where the caller names no directory. */
  cwd: string;
}

/** A signed `exec.request` for these parameters. */
export function buildExec(params: ExecParams, parties: Parties, identity: Identity, now: number): Built {
  const ids = fresh(now, params.detach ? DETACHED_LIFETIME_MS : REQUEST_LIFETIME_MS);
  const content = {
    ...ids.fields,
    target_agent: params.agent,
    requesting_agent: parties.requesting_agent,
    command: params.command,
    cwd: params.cwd ?? parties.cwd,
    env: params.env,
    stdin: params.stdin,
    stream: true,
    pty: false,
    timeout_ms: params.timeout_ms ?? DEFAULT_TIMEOUT_MS,
    task_id: null,
    idempotency_key: `exec:${ids.invocation_id}`,
    reply: { device_id: identity.account.device_id },
    target_key_id: parties.key_id,
  };
  return {
    ...ids,
    type: EventTypes.execRequest,
    content: identity.sign(parties.room_id, EventTypes.execRequest, content),
  };
}

/** A signed `call.request` for these parameters. */
export function buildCall(params: CallParams, parties: Parties, identity: Identity, now: number): Built {
  const ids = fresh(now, REQUEST_LIFETIME_MS);
  const content = {
    ...ids.fields,
    tool: params.tool,
    args: params.args,
    requesting_agent: parties.requesting_agent,
    target_agent: params.agent,
    ...(params.timeout_ms === null ? {} : { timeout_ms: params.timeout_ms }),
    reply: { device_id: identity.account.device_id },
    target_key_id: parties.key_id,
  };
  return {
    ...ids,
    type: EventTypes.callRequest,
    content: identity.sign(parties.room_id, EventTypes.callRequest, content),
  };
}

function fresh(now: number, lifetime_ms: number) {
  const invocation_id = newId("inv", now);
  const request_id = newId("req", now);
  const expires_ts = now + lifetime_ms;
  return {
    invocation_id,
    request_id,
    expires_ts,
    fields: {
      invocation_id,
      request_id,
      created_at: new Date(now).toISOString(),
      expires_at: new Date(expires_ts).toISOString(),
      nonce: newNonce(),
    },
  };
}
