/**
 * The runner as its one client, the daemon, sees it. The runner outlives daemons: a restarted or
 * upgraded one connects again and finds its runs. Run ids are made by the daemon and name the spool
 * directory; they never come from a peer.
 */

import type { FileIdentity } from "@mx-agent/base";
import type { SandboxRequest } from "@mx-agent/sandbox";

/** Bumped when a message changes incompatibly; the handshake compares it. */
export const RUNNER_VERSION = { major: 1, minor: 0 } as const;

export type RunStream = "stdout" | "stderr";

export interface RunLimits {
  /** From start to SIGTERM, in milliseconds. */
  max_runtime_ms: number;
  /** Of stdout and stderr together, in bytes; more ends the run with `output_limit`. */
  max_output_bytes: number;
  /** null: no limit asked for. A limit that cannot be enforced refuses the run. */
  max_memory_bytes: number | null;
  max_processes: number | null;
  /** Of any one file that is written; a sandbox's alone. */
  max_file_bytes: number | null;
  max_cpu_seconds: number | null;
}

/** What to start. Everything in it was admitted; the runner decides nothing about permission. */
export interface RunSpec {
  run_id: string;
  /** The program to execute, by its checked path; argv[0] may differ (multi-call binaries). */
  executable: FileIdentity;
  argv: string[];
  /** Opened by the runner, compared with this identity, and handed to the child as that descriptor. */
  cwd: FileIdentity;
  env: Record<string, string>;
  /** How it is confined; `none` runs it as it is. See packages/sandbox. */
  sandbox: SandboxRequest;
  limits: RunLimits;
  /** false: stdin is /dev/null. */
  stdin: boolean;
}

export type RunOutcome =
  | "exited"
  | "signaled"
  | "timed_out"
  | "cancelled"
  | "output_limit"
  | "spawn_failed"
  | "interrupted";

export interface RunEnd {
  outcome: RunOutcome;
  exit_code: number | null;
  /** A name such as SIGTERM. */
  signal: string | null;
  /** For spawn_failed: ENOENT, EACCES, ENOEXEC, CHANGED (not the file that was checked), LIMIT_UNAVAILABLE, SANDBOX_UNAVAILABLE … */
  error: { code: string; message: string } | null;
  duration_ms: number;
  stdout_bytes: number;
  stderr_bytes: number;
  /** Lower-case hex SHA-256 over all bytes of each stream. */
  stdout_sha256: string;
  stderr_sha256: string;
  /** Whether output was thrown away because of the limit. */
  truncated: boolean;
  ended_at: string;
}

export interface RunState {
  run_id: string;
  pid: number | null;
  started_at: string;
  stdout_bytes: number;
  stderr_bytes: number;
  /** Bytes of stdin taken so far, and whether its end was. */
  stdin_bytes: number;
  stdin_ended: boolean;
  end: RunEnd | null;
}

export interface RunnerEvents {
  /** More bytes are in the spool than before; `bytes` is the stream's length now. */
  output: (run_id: string, stream: RunStream, bytes: number) => void;
  /** Comes after the last output event of the run; the end is durable in the spool before. */
  ended: (run_id: string, end: RunEnd) => void;
  /** The connection is gone; the runner may be, too. */
  closed: () => void;
}

export interface RunnerClient {
  readonly pid: number;
  on<E extends keyof RunnerEvents>(event: E, listener: RunnerEvents[E]): void;
  /** Resolves when the child runs, or with spawn_failed already ended. A run id is started at most once, ever. */
  start(spec: RunSpec): Promise<RunState>;
  /** Writes at `offset` of stdin (what was taken already is skipped); resolves with the new length when the child's pipe took it. */
  stdin(run_id: string, offset: number, data: Uint8Array, eof: boolean): Promise<{ stdin_bytes: number }>;
  /** Up to `max_bytes` of the spool from `offset`; empty when nothing is there yet. */
  read(run_id: string, stream: RunStream, offset: number, max_bytes: number): Promise<Uint8Array>;
  /** SIGTERM to everything that descends from the run, SIGKILL after the grace. Resolves at once; `ended` follows. */
  cancel(run_id: string, grace_ms?: number): Promise<void>;
  /** Every run that has a spool, running or ended. */
  list(): Promise<RunState[]>;
  /** Deletes an ended run's spool. */
  forget(run_id: string): Promise<void>;
  /** Ends all children and the runner itself. */
  shutdown(): Promise<void>;
  /** Lets go of the connection; the runner and its runs go on. */
  close(): void;
}
