/** What the methods take and give: the shapes of `--json` as well. */
import type { KeysTo } from "./key-values.ts";

/** Selects an agent elsewhere, or here: always through the homeserver. */
export interface Target {
  room: string;
  agent: string;
}

export interface DaemonStatus {
  pid: number;
  version: string;
  started_at: string;
  uptime_ms: number;
  sockets: { daemon: string; agent: string };
  account: { user_id: string; device_id: string; homeserver: string } | null;
  sync: {
    state: "healthy" | "degraded" | "rate_limited" | "stopped" | "logged_out";
    detail: string | null;
    retry_in_ms: number | null;
    last_sync_at: string | null;
  };
  policy: { state: "ok" | "missing" | "invalid"; file: string; detail: string | null };
  runner: { state: "running" | "stopped"; pid: number | null };
  running_invocations: number;
  outbox_depth: number;
  dropped_results: number;
  undecryptable: number;
  /** Numbers of lines that the audit log did not have any more when it was opened; absent from older daemons. */
  audit_contradicted?: number[];
  warnings: string[];
}

/** What a homeserver says about itself; null is not known. */
export interface HomeserverFacts {
  url: string;
  /** Whether something answers there as a homeserver. */
  reachable: boolean;
  /** Why it is not reachable. */
  detail: string | null;
  /** As `Synapse/1.163.2`. */
  software: string | null;
  /** Of the Client-Server API. */
  newest_version: string | null;
  login_flows: string[];
  max_upload_bytes: number | null;
  /** Its clock against ours, to about a second. */
  clock_ahead_ms: number | null;
  round_trip_ms: number | null;
  /** Whether it takes our login. */
  login_accepted: boolean | null;
}

/** What the daemon finds out for `doctor` when it is asked. */
export interface Diagnosis {
  /** Of the account; null without one. */
  homeserver: HomeserverFacts | null;
  bubblewrap: { available: true; version: string } | { available: false; reason: string };
  limits: { kind: "cgroup" } | { kind: "watch"; reason: string };
}

export interface WorkspaceInfo {
  room_id: string;
  name: string | null;
  alias: string | null;
  encrypted: boolean;
  membership: "join" | "invite" | "leave";
  /** Who has joined; null where it cannot be known from outside. */
  member_count: number | null;
  /** Which devices get the keys of what this machine sends; null where nothing is encrypted. */
  keys_to: KeysTo | null;
  project_id: string | null;
  inviter: string | null;
}

export interface MemberInfo {
  user_id: string;
  display_name: string | null;
  membership: string;
  power_level: number;
  agents: string[];
}

export type Liveness = "active" | "stale" | "offline" | "unknown";

export interface AgentInfo {
  agent_id: string;
  room_id: string;
  kind: string;
  user_id: string;
  device_id: string;
  key_id: string;
  fingerprint: string;
  status: string;
  liveness: Liveness;
  last_seen_ts: number;
  capabilities: string[];
  tools: string[];
  workspace: { cwd: string; project_id: string; git_commit: string };
  load: { running_invocations: number; max_invocations: number };
  mine: boolean;
  trusted: boolean;
  /** The last line of its audit log that it published under its approved key, as it is remembered here. */
  audit_head: { seq: number; sha256: string; seen_at: string } | null;
  /** The key that its approved key announced as the next one. */
  announced: { fingerprint: string; approved: boolean } | null;
  /** What an operator should know: an overwritten state, a key other than the approved one. */
  warnings: string[];
}

export interface TrustEntry {
  room_id: string;
  agent_id: string;
  user_id: string;
  key_id: string;
  fingerprint: string;
  public_key: string;
  status: "trusted" | "revoked" | "expired";
  legacy: boolean;
  approved_at: string;
  expires_at: string | null;
  revoked_at: string | null;
}

/** An invitation of this machine; its link is a secret, and not in lists. */
export interface InviteInfo {
  invite_id: string;
  room_id: string;
  role: "member" | "agent";
  uses: number;
  used: number;
  state: "open" | "used" | "expired" | "revoked";
  created_at: string;
  expires_at: string;
  used_by: { user_id: string; agent_id: string; at: string }[];
}

/** What using somebody's invitation came to. */
export interface InvitedInfo {
  room_id: string;
  role: "member" | "agent";
  /** The name that this machine's agent is to have. */
  agent_id: string;
  /** Whether anything was done: false where it was all done before. */
  changed: boolean;
  inviter: { agent_id: string; user_id: string; fingerprint: string };
}

export type InvocationState =
  | "requested"
  | "held"
  | "received"
  | "admitted"
  | "starting"
  | "running"
  | "ended"
  | "rejected"
  | "lost";

export type Outcome =
  | "exited"
  | "signaled"
  | "timed_out"
  | "cancelled"
  | "output_limit"
  | "spawn_failed"
  | "interrupted";

export interface InvocationInfo {
  invocation_id: string;
  request_id: string;
  side: "caller" | "executor";
  kind: "exec" | "call";
  room_id: string;
  agent: string;
  requester: string;
  /** As a person would type it; secrets masked. */
  summary: string;
  state: InvocationState;
  created_at: string;
  ended_at: string | null;
  result: InvocationResult | null;
  reason: string | null;
}

/** How a run ended, as the executing side said it. */
export interface InvocationResult {
  outcome: Outcome;
  exit_code: number | null;
  signal: string | null;
  duration_ms: number;
  stdout_bytes: number;
  stderr_bytes: number;
  truncated: boolean;
  /** null where the other side gave no digest to check. */
  complete: boolean | null;
}

export interface ExecParams extends Target {
  command: string[];
  cwd: string | null;
  env: Record<string, string>;
  timeout_ms: number | null;
  stdin: boolean;
  detach: boolean;
}

/** data is base64; bytes are exact. */
export type ExecOutput =
  | { type: "requested"; invocation_id: string; request_id: string }
  | { type: "accepted" }
  | { type: "held"; summary: string; expires_at: string }
  /** It has ended, and the other side does not answer: the rest of its output is waited for. Comes once. */
  | { type: "away" }
  | { type: "chunk"; stream: "stdout" | "stderr"; data: string };

/** Cancelling the call cancels the run; its result then says how it ended. */
export type ExecInput = { type: "stdin"; data: string } | { type: "eof" };

/** A refusal is not an error of the transport: the CLI renders it with the machine it came from. */
export type ExecResult =
  | { type: "finished"; invocation_id: string; result: InvocationResult }
  | {
      type: "rejected";
      invocation_id: string;
      request_id: string;
      reason: string;
      detail: string | null;
      origin: "local" | "remote";
    }
  | { type: "detached"; invocation_id: string };

export interface CallParams extends Target {
  tool: string;
  args: Record<string, unknown>;
  timeout_ms: number | null;
}

export type CallResult =
  | {
      type: "response";
      invocation_id: string;
      request_id: string;
      ok: boolean;
      result: unknown;
      error: string | null;
      code: string | null;
    }
  | {
      type: "rejected";
      invocation_id: string;
      request_id: string;
      reason: string;
      detail: string | null;
      origin: "local" | "remote";
    };

export interface ToolInfo {
  agent_id: string;
  name: string;
  version: string;
  description: string;
  input_schema: unknown;
}

export interface TraceStep {
  check: string;
  outcome: "pass" | "refuse" | "hold" | "skip";
  reason: string | null;
  /** For the operator of this machine alone. */
  detail: string | null;
}

export interface Explanation {
  request_id: string | null;
  decision: "allow" | "hold" | "deny";
  reason: string | null;
  rule: string | null;
  trace: TraceStep[];
  limits: Record<string, unknown> | null;
}

export interface AuditLine {
  seq: number;
  ts: string;
  kind: string;
  prev: string;
  [field: string]: unknown;
}

/** A published head of another daemon's audit log. */
export interface RememberedHead {
  room_id: string;
  agent_id: string;
  key_id: string;
  /** Number and SHA-256 (base64) of a line. */
  seq: number;
  sha256: string;
  seen_at: string;
}

export interface AuditVerdict {
  ok: boolean;
  /** Heads that were handed in and are lines of this log; those that are older than it begins cannot be compared. */
  heads: { matched: number; older: number };
  lines: number;
  files: string[];
  checkpoints: number;
  problems: { file: string; line: number; problem: string }[];
}
