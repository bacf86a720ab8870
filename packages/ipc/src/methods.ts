/**
 * The methods that a daemon serves on its sockets: one table, shared by both sides. Types only at
 * run time but for the roles; parameters are parsed by the daemon (packages/daemon/src/methods).
 *
 * Item streams: beside its result a method may send output items while it runs, and take input
 * items. Both are windowed by acknowledgement (see stream.ts).
 */
import type { ErrorJson } from "@mx-agent/base";
import type {
  CrossSigningStatus,
  DeviceInfo,
  KeysTo,
  RecoveryStatus,
  VerificationStage,
  WithoutKeys,
} from "./key-values.ts";
import type { Method, None, RolesOf } from "./method.ts";
import { type AccountMethods, accountRoles } from "./methods-account.ts";
import type {
  AgentInfo,
  AuditLine,
  AuditVerdict,
  CallParams,
  CallResult,
  DaemonStatus,
  Diagnosis,
  ExecInput,
  ExecOutput,
  ExecParams,
  ExecResult,
  Explanation,
  InvocationInfo,
  InvocationResult,
  InvocationState,
  MemberInfo,
  RememberedHead,
  Target,
  ToolInfo,
  TrustEntry,
  WorkspaceInfo,
} from "./values.ts";

/** Bumped when a method changes incompatibly; the handshake compares it. */
export const IPC_VERSION = { major: 1, minor: 0 } as const;

export interface Methods extends AccountMethods {
  "daemon.status": Method<"agent", None, DaemonStatus>;
  "daemon.diagnose": Method<"agent", None, Diagnosis>;
  "daemon.stop": Method<"operator", None, { pid: number }>;
  "daemon.reload": Method<"operator", None, { policy: DaemonStatus["policy"] }>;

  "cross_signing.status": Method<"agent", None, CrossSigningStatus>;
  "cross_signing.bootstrap": Method<"operator", { password: string | null }, CrossSigningStatus>;
  "cross_signing.reset": Method<
    "operator",
    { password: string | null },
    CrossSigningStatus & { recovery_disabled: boolean }
  >;

  "recovery.status": Method<"agent", None, RecoveryStatus>;
  /** The key is in this answer and nowhere else. */
  "recovery.enable": Method<"operator", { replace: boolean }, RecoveryStatus & { recovery_key: string }>;
  "recovery.recover": Method<
    "operator",
    { recovery_key: string },
    RecoveryStatus & { imported: number; total: number }
  >;
  "recovery.disable": Method<"operator", None, { was_enabled: boolean }>;

  /** Without user and room, this account's own; `requests`: who asked to verify this device. */
  "device.list": Method<
    "agent",
    { user: string | null; room: string | null },
    { devices: DeviceInfo[]; requests: { user_id: string; device_id: string }[] }
  >;
  /** Without a user, this device. */
  "device.show": Method<"agent", { user: string | null; device: string | null }, DeviceInfo>;
  "device.verify": Method<
    "operator",
    { user: string; device: string | null; fingerprint: string },
    DeviceInfo
  >;
  "device.unverify": Method<"operator", { user: string; device: string | null }, DeviceInfo>;
  /** Interactive, in either role. Whoever leaves without saying that it matches has said no. */
  "device.compare": Method<
    "operator",
    { user: string | null; device: string | null; accept: boolean; room?: string },
    DeviceInfo,
    VerificationStage,
    { matches: boolean }
  >;

  "workspace.create": Method<
    "operator",
    { name: string; alias: string | null; invite: string[]; encrypted: boolean },
    WorkspaceInfo
  >;
  "workspace.list": Method<"agent", None, WorkspaceInfo[]>;
  "workspace.invite": Method<
    "operator",
    { room: string; user: string },
    { room_id: string; user_id: string }
  >;
  "workspace.join": Method<"operator", { room: string; encrypted: boolean; via: string[] }, WorkspaceInfo>;
  "workspace.accept": Method<"operator", { room: string; encrypted: boolean }, WorkspaceInfo>;
  "workspace.remove": Method<
    "operator",
    { room: string; user: string },
    { room_id: string; user_id: string }
  >;
  /** Without `to`, only what is in force; `without`: devices of members that get no keys. */
  "workspace.keys": Method<
    "operator",
    { room: string; to: KeysTo | "auto" | null },
    { room_id: string; keys_to: KeysTo; without: WithoutKeys[] }
  >;
  "workspace.leave": Method<"operator", { room: string }, { room_id: string }>;
  "workspace.members": Method<"agent", { room: string }, MemberInfo[]>;
  "workspace.grant": Method<
    "operator",
    { room: string; user: string; power_level: number },
    { room_id: string; user_id: string; power_level: number }
  >;
  "workspace.status": Method<
    "agent",
    { room: string; watch: boolean },
    { workspace: WorkspaceInfo; members: MemberInfo[]; agents: AgentInfo[] },
    { workspace: WorkspaceInfo; members: MemberInfo[]; agents: AgentInfo[] }
  >;
  "workspace.attach": Method<
    "operator",
    { room: string; path: string },
    { room_id: string; project_id: string }
  >;
  "workspace.upgrade": Method<"operator", { room: string }, { room_id: string; added: string[] }>;

  "agent.register": Method<
    "operator",
    { room: string; agent: string | null; kind: string; cwd: string | null; capabilities: string[] },
    AgentInfo
  >;
  "agent.list": Method<"agent", { room: string | null; ping: boolean }, AgentInfo[]>;
  "agent.show": Method<"agent", Target, AgentInfo>;
  "agent.unregister": Method<
    "operator",
    { room: string; agent: string },
    { room_id: string; agent_id: string }
  >;
  "agent.ping": Method<"agent", Target & { timeout_ms: number }, { agent_id: string; round_trip_ms: number }>;

  "trust.fingerprint": Method<
    "agent",
    None,
    { key_id: string; fingerprint: string; public_key: string; user_id: string | null }
  >;
  "trust.list": Method<"agent", { room: string | null }, TrustEntry[]>;
  /** What would be approved: the key in the room's agent state, and the one approved now if any. */
  "trust.inspect": Method<
    "operator",
    Target,
    {
      agent: AgentInfo;
      public_key: string;
      approved: TrustEntry | null;
      /** The agent's device, where its keys are known. */
      device: DeviceInfo | null;
    }
  >;
  /** With its device's fingerprint that is verified in the same step; where either is another, nothing happens. */
  "trust.approve": Method<
    "operator",
    Target & { fingerprint: string; expires_at: string | null; legacy: boolean; device_fingerprint?: string },
    TrustEntry
  >;
  /** A new signing key for this daemon: announced under the one that it has, put to use, or given up. */
  "trust.rotate": Method<
    "operator",
    { step: "announce" | "finish" | "abandon"; force: boolean },
    {
      state: "announced" | "finished" | "abandoned";
      fingerprint: string;
      next_fingerprint: string | null;
      agents: { room_id: string; agent_id: string }[];
    }
  >;
  "trust.revoke": Method<
    "operator",
    { room: string | null; agent: string | null; fingerprint: string | null },
    /** `still_members`: they get no more keys, and are in the room all the same. */
    { revoked: TrustEntry[]; still_members: { room_id: string; user_id: string }[] }
  >;

  "exec.run": Method<"agent", ExecParams, ExecResult, ExecOutput, ExecInput>;
  /** Goes on with a run whose caller's daemon went away: its output from the beginning, and where stdin goes on. */
  "exec.resume": Method<
    "agent",
    { invocation_id: string; stdin: boolean },
    ExecResult,
    ExecOutput | { type: "stdin"; offset: number },
    ExecInput
  >;
  "call.run": Method<
    "agent",
    CallParams,
    CallResult,
    { type: "requested"; invocation_id: string; request_id: string }
  >;
  /** Goes on waiting for a call whose caller's daemon went away. */
  "call.resume": Method<"agent", { invocation_id: string }, CallResult>;
  "tools.list": Method<"agent", { room: string; agent: string | null }, ToolInfo[]>;

  "invocation.list": Method<
    "agent",
    { side: "caller" | "executor" | null; running: boolean; limit: number },
    InvocationInfo[]
  >;
  "invocation.show": Method<"agent", { invocation_id: string }, InvocationInfo>;
  "invocation.cancel": Method<
    "agent",
    { invocation_id: string },
    { invocation_id: string; state: InvocationState }
  >;
  "invocation.wait": Method<"agent", { invocation_id: string }, ExecResult>;
  "invocation.logs": Method<
    "agent",
    /** `since_ts`: leaves out what was written before, by the clock of the executing machine, milliseconds since the epoch. */
    { invocation_id: string; follow: boolean; since_ts: number | null },
    { result: InvocationResult | null },
    ExecOutput
  >;
  "invocation.prune": Method<"operator", { older_than_ms: number }, { pruned: number; bytes: number }>;

  /** What runs here for others is the operator's to end and to read. */
  "run.cancel": Method<
    "operator",
    { invocation_id: string },
    { invocation_id: string; state: InvocationState }
  >;
  "run.logs": Method<
    "operator",
    { invocation_id: string; follow: boolean; since_ts: number | null },
    { result: InvocationResult | null },
    ExecOutput
  >;

  "policy.explain": Method<
    "operator",
    | { request_id: string }
    | {
        room: string;
        user: string;
        agent: string | null;
        command: string[];
        cwd: string | null;
        env: string[];
        tool: string | null;
      },
    Explanation
  >;

  "audit.tail": Method<"operator", { lines: number; follow: boolean }, { last_seq: number }, AuditLine>;
  "audit.show": Method<"operator", { invocation_id: string }, AuditLine[]>;
  /** `heads`: what somebody else remembers of this log. */
  "audit.verify": Method<
    "operator",
    { file: string | null; heads: { seq: number; sha256: string; key_id: string | null }[] },
    AuditVerdict
  >;
  /** What is remembered here of other daemons' logs. */
  "audit.heads": Method<"agent", { room: string | null; agent: string | null }, RememberedHead[]>;
}

export type MethodName = keyof Methods;
export type Params<M extends MethodName> = Methods[M]["params"];
export type Result<M extends MethodName> = Methods[M]["result"];
export type Output<M extends MethodName> = Methods[M]["output"];
export type Input<M extends MethodName> = Methods[M]["input"];

/** The role of each method at run time; the type makes a wrong or missing entry a compile error. */
export const methodRoles: RolesOf<Methods> = {
  ...accountRoles,
  "daemon.status": "agent",
  "daemon.diagnose": "agent",
  "daemon.stop": "operator",
  "daemon.reload": "operator",
  "cross_signing.status": "agent",
  "cross_signing.bootstrap": "operator",
  "cross_signing.reset": "operator",
  "recovery.status": "agent",
  "recovery.enable": "operator",
  "recovery.recover": "operator",
  "recovery.disable": "operator",
  "device.list": "agent",
  "device.show": "agent",
  "device.verify": "operator",
  "device.unverify": "operator",
  "device.compare": "operator",
  "workspace.create": "operator",
  "workspace.list": "agent",
  "workspace.invite": "operator",
  "workspace.join": "operator",
  "workspace.accept": "operator",
  "workspace.remove": "operator",
  "workspace.keys": "operator",
  "workspace.leave": "operator",
  "workspace.members": "agent",
  "workspace.grant": "operator",
  "workspace.status": "agent",
  "workspace.attach": "operator",
  "workspace.upgrade": "operator",
  "agent.register": "operator",
  "agent.list": "agent",
  "agent.show": "agent",
  "agent.unregister": "operator",
  "agent.ping": "agent",
  "trust.fingerprint": "agent",
  "trust.list": "agent",
  "trust.inspect": "operator",
  "trust.approve": "operator",
  "trust.rotate": "operator",
  "trust.revoke": "operator",
  "exec.run": "agent",
  "exec.resume": "agent",
  "call.run": "agent",
  "call.resume": "agent",
  "tools.list": "agent",
  "invocation.list": "agent",
  "invocation.show": "agent",
  "invocation.cancel": "agent",
  "invocation.wait": "agent",
  "invocation.logs": "agent",
  "invocation.prune": "operator",
  "run.cancel": "operator",
  "run.logs": "operator",
  "policy.explain": "operator",
  "audit.tail": "operator",
  "audit.show": "operator",
  "audit.verify": "operator",
  "audit.heads": "agent",
};

export type { Role } from "./method.ts";
export type { ErrorJson };
