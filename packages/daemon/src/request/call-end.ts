import type { ExecResult, InvocationResult } from "@mx-agent/ipc";
import { z } from "zod";
import type { Request } from "../state/requests.ts";
import type { Settled } from "./pending.ts";

/** What our daemons answer to a call: the run of the tool's command, with its output. */
const toolRun = z.looseObject({
  outcome: z.enum(["exited", "signaled", "timed_out", "cancelled", "output_limit", "interrupted"]),
  exit_code: z.int().nullable(),
  signal: z.string().nullable().default(null),
  stdout: z.string(),
  stderr: z.string(),
  truncated: z.boolean(),
  duration_ms: z.int().nonnegative(),
});

/** How a tool's run ended, for whoever waits for its end alone. */
export function endOfCall(
  { invocation_id, request_id }: Pick<Request, "invocation_id" | "request_id">,
  { ok, result, error, code }: Extract<Settled, { type: "response" }>,
): ExecResult {
  const run = toolRun.safeParse(result);
  if (run.success) {
    const { outcome, exit_code, signal, stdout, stderr, truncated, duration_ms } = run.data;
    const end: InvocationResult = {
      outcome,
      exit_code,
      signal,
      duration_ms,
      stdout_bytes: Buffer.byteLength(stdout),
      stderr_bytes: Buffer.byteLength(stderr),
      truncated,
      complete: true,
    };
    return { type: "finished", invocation_id, result: end };
  }
  if (!ok)
    return {
      type: "rejected",
      invocation_id,
      request_id,
      reason: code ?? "failed",
      detail: error,
      origin: "remote",
    };
  // Somebody else's daemon, whose tools answer with whatever they like.
  const end = { exit_code: 0, signal: null, duration_ms: 0, stdout_bytes: 0, stderr_bytes: 0 };
  return {
    type: "finished",
    invocation_id,
    result: { outcome: "exited", ...end, truncated: false, complete: null },
  };
}
