import type { RunEnd, RunOutcome } from "@mx-agent/runner";

/** SHA-256 of nothing. */
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** The end of a run that the runner knows nothing of, or never began. */
export function nothingRan(
  outcome: Extract<RunOutcome, "cancelled" | "interrupted" | "spawn_failed">,
  now: number,
  error: RunEnd["error"] = null,
): RunEnd {
  return {
    outcome,
    exit_code: null,
    signal: null,
    error,
    duration_ms: 0,
    stdout_bytes: 0,
    stderr_bytes: 0,
    stdout_sha256: EMPTY,
    stderr_sha256: EMPTY,
    truncated: false,
    ended_at: new Date(now).toISOString(),
  };
}
