import type { FileIdentity } from "@mx-agent/base";
import type { DenyCode, DenyReason } from "./codes.ts";

/** What is asked, already checked for its shape. */
export interface PolicyRequest {
  room_id: string;
  /** The Matrix user who asks. */
  user_id: string;
  ask:
    | { kind: "exec"; command: string[] }
    /** `tool` is NAME or NAME@VERSION. */
    | { kind: "call"; tool: string; args: Record<string, unknown> };
  /** Absolute. null or empty: the first directory of allow_cwd. Without meaning for a call: a tool has its own. */
  cwd: string | null;
  env: Record<string, string>;
  /** null: as long as the policy grants. */
  timeout_ms: number | null;
  /** Whether the sending device is verified; not true counts as "no" where an entry alone demands it. */
  device_verified?: boolean | undefined;
  /**
   * What it runs under, where it runs already: its program and its directory are those that were started, whatever
   * has become of the files since.
   */
  under?: Grant | undefined;
}

export type GrantedSandbox =
  | { backend: "none" }
  | {
      backend: "bubblewrap";
      network: "deny" | "allow";
      /** Real paths, absolute, shown read-only beside the system. */
      read_only_paths: string[];
      /**
       * Real paths, absolute; the project of the working directory is among them unless it is shown read-only.
       * Of this list and the other, the path that lies deeper decides.
       */
      writable_paths: string[];
    };

export interface GrantedLimits {
  max_runtime_ms: number;
  max_output_bytes: number;
  /** null: no limit asked for. */
  max_memory_bytes: number | null;
  max_processes: number | null;
  max_file_bytes: number | null;
  max_cpu_seconds: number | null;
}

/** What may run, and how: always the tighter of what was asked and what is granted. */
export interface Grant {
  /** The file that is executed: the real one, which must be the same when it is started. */
  executable: FileIdentity;
  /** argv[0] is the command's checked path, its own last link not followed: multi-call binaries look at it. */
  argv: string[];
  cwd: FileIdentity;
  /** The requested environment; all of it is let through, or the request is denied. */
  env: Record<string, string>;
  sandbox: GrantedSandbox;
  /** Names that the child may inherit from the daemon; secrets are taken out already. */
  env_allowlist: string[];
  limits: GrantedLimits;
  /** Runs of this user in this room at the same time. */
  max_concurrent: number;
  /** Requests of this user in this room that are let through each minute; null: no limit. */
  max_per_minute: number | null;
  require_verified_device: boolean;
  tool: { name: string; version: string; output: "text" | "json" } | null;
}

/** One line of `policy explain`. */
export interface PolicyStep {
  check: string;
  outcome: "pass" | "refuse" | "hold" | "skip";
  reason: DenyReason | null;
  code: DenyCode | null;
  /** `file:line key` of what decided. */
  rule: string | null;
  /** For the operator of this machine alone. */
  detail: string | null;
}

export interface Denial {
  effect: "deny";
  /** For the peer. */
  reason: DenyReason;
  /** Finer, for this machine: what `expect` of a [[test]] names. */
  code: DenyCode;
  /** `file:line key`, for the audit log and the operator. */
  rule: string;
  /** May go to the peer: what a person can do about it, never which rule. */
  detail: string | null;
  steps: PolicyStep[];
}

export interface Permission {
  effect: "hold" | "allow";
  /** `file:line key` of the entry or entries that grant it, separated by "; ". */
  rule: string;
  /** Users who may release a held request; the operator of this machine always may. */
  approvers: string[];
  grant: Grant;
  steps: PolicyStep[];
}

export type Decision = Denial | Permission;
