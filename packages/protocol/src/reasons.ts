/**
 * The one catalogue of reasons for `exec.rejected.reason`, `call.response.code` and the audit log
 * (PROTOCOL "Reasons"): for each, what happened, what to do about it, and on whose machine.
 *
 * Templates take `{agent}` (the one that was asked), `{requester}` (the one that asked), `{room}` and
 * `{request_id}`. None names a rule of the policy: that is for the operator there, by `policy explain`.
 */

/** On whose machine the remedy is typed: the asking agent's, or that of the agent that refused. */
export type Machine = "requester" | "target";

interface ReasonEntry {
  sentence: string;
  remedy: string;
  on: Machine;
}

const catalogue = {
  malformed_request: {
    sentence: "the request does not have the form that the protocol asks for",
    remedy: "compare versions with `mx-agent --version` on both machines and upgrade the older one",
    on: "requester",
  },
  expired: {
    sentence: "the request had expired when it arrived",
    remedy:
      "send it again; if it happens again, set this machine's clock (`mx-agent doctor` shows by how much it is off)",
    on: "requester",
  },
  from_the_future: {
    sentence: "the request was made in the future, by the clock of {agent}",
    remedy: "set the clocks: `mx-agent doctor` on each machine shows by how much it is off",
    on: "requester",
  },
  binding_missing: {
    sentence: "the request does not say which room, type and sender it was signed for",
    remedy:
      "upgrade the requester; for a daemon of the first protocol `mx-agent trust approve --legacy --room {room} {requester}`",
    on: "target",
  },
  binding_mismatch: {
    sentence: "the request was signed for another room, type, sender or device than it arrived with",
    remedy:
      "somebody may have copied it: look at `mx-agent audit tail`, then send it again from the requester",
    on: "target",
  },
  unsigned: {
    sentence: "the request carries no signature",
    remedy: "send it with mx-agent, which signs what it sends",
    on: "requester",
  },
  untrusted_key: {
    sentence: "{agent} has not approved the key of {requester} in this room",
    remedy:
      "compare the fingerprint (`mx-agent trust fingerprint` on the requester's machine), then `mx-agent trust approve --room {room} {requester}`",
    on: "target",
  },
  revoked_key: {
    sentence: "{agent} has revoked the key of {requester}, or its approval has run out",
    remedy:
      "ask the operator why; `mx-agent trust approve --room {room} {requester}` approves the key that it has now",
    on: "target",
  },
  invalid_signature: {
    sentence: "the signature is not that of the approved key, or the request was altered on its way",
    remedy: "compare `mx-agent trust fingerprint` on the requester's machine with `mx-agent trust list`",
    on: "target",
  },
  replayed: {
    sentence: "a request with this nonce or invocation id came before",
    remedy: "send a new request; each one runs at most once",
    on: "requester",
  },
  unverified_device: {
    sentence: "{agent} takes requests from verified devices alone, and this one is not verified",
    remedy: "verify the requester's device, in an encrypted room",
    on: "target",
  },
  policy_denied: {
    sentence: "the policy of {agent} does not allow it",
    remedy: "`mx-agent policy explain {request_id}` says why",
    on: "target",
  },
  env_override_not_allowed: {
    sentence: "the request sets an environment variable that {agent} does not take from others",
    remedy: "leave out that --env, or have its name added to env_allowlist in policy.toml",
    on: "requester",
  },
  sandbox_required: {
    sentence: "{agent} runs this for others in a sandbox alone, and its policy gives none",
    remedy: "`mx-agent policy explain {request_id}` names the line; set a sandbox in policy.toml",
    on: "target",
  },
  sandbox_unavailable: {
    sentence: "the sandbox that the policy of {agent} asks for is not there",
    remedy: "`mx-agent doctor` says what is missing and how to install it",
    on: "target",
  },
  limit_unavailable: {
    sentence: "a limit that the policy of {agent} asks for cannot be enforced on that machine",
    remedy: "`mx-agent doctor` says which limits it can enforce, and what the others need",
    on: "target",
  },
  approval_denied: {
    sentence: "a person was asked, and denied it",
    remedy: "talk to the approvers of the room",
    on: "requester",
  },
  approval_expired: {
    sentence: "a person was asked, and nobody decided in time",
    remedy: "send it again when an approver is there",
    on: "requester",
  },
  over_capacity: {
    sentence: "{agent} has as much to do or to remember as it may",
    remedy: "wait until something has ended; `max_concurrent` in policy.toml raises how much may run at once",
    on: "requester",
  },
  rate_limited: {
    sentence: "{requester} asked {agent} for more in one minute than its policy allows",
    remedy: "wait a minute; `max_per_minute` in policy.toml raises it",
    on: "requester",
  },
  tool_not_found: {
    sentence: "{agent} has no tool of that name and version",
    remedy: "`mx-agent tools list --room {room} --agent {agent}` shows what it has",
    on: "requester",
  },
  tool_input_invalid: {
    sentence: "the arguments are not what the tool takes",
    remedy: "`mx-agent tools show` with the tool's name shows its input",
    on: "requester",
  },
  spawn_failed: {
    sentence: "the command was allowed, and could not be started",
    remedy: "`mx-agent audit show` with the invocation's id says what the system answered",
    on: "target",
  },
} as const satisfies Record<string, ReasonEntry>;

export type Reason = keyof typeof catalogue;

export const reasons: Readonly<Record<Reason, ReasonEntry>> = catalogue;

/** Whether a reason that arrived is one of ours; another version may know more. */
export function isReason(value: string): value is Reason {
  return Object.hasOwn(catalogue, value);
}

/** What the templates of the catalogue are filled with. */
export interface ReasonParams {
  agent: string;
  requester: string;
  room: string;
  request_id: string;
}

/** A reason for a person: what happened, what to do, and on whose machine that is. */
export interface ReasonText {
  sentence: string;
  remedy: string;
  on: Machine;
}

export function reasonText(reason: Reason, params: ReasonParams): ReasonText {
  const { sentence, remedy, on } = reasons[reason];
  const values: Readonly<Record<string, string>> = { ...params };
  const fill = (template: string) => template.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
  return { sentence: fill(sentence), remedy: fill(remedy), on };
}
