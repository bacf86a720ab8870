/** The end of a run, as it goes out: durable, in the transaction that records it. */
import { EventTypes, requestDigest } from "@mx-agent/protocol";
import type { RunEnd } from "@mx-agent/runner";
import { shape } from "../admit/checks/shape.ts";
import { eventOf } from "../run/event-of.ts";
import type { ExecutorWorld } from "../run/executor-world.ts";
import { replyOf } from "../run/reply.ts";
import type { Execution } from "../state/executions.ts";
import { answerCall, answerRefused, sendEvent, sendToDevice } from "./answers.ts";
import { type CallOutput, callResult, describeFailure } from "./call-result.ts";

/** `exec.finished`, or `call.response`. */
export function publishOutcome(
  execution: Execution,
  end: RunEnd,
  chunks: { stdout_chunks: number; stderr_chunks: number } | null,
  output: CallOutput | null,
  world: ExecutorWorld,
): void {
  const event = eventOf(execution);
  const request = shape(event);
  if (request.kind === "call") {
    const ok = end.outcome === "exited" && end.exit_code === 0;
    const content = {
      request_id: execution.request_id,
      ok,
      result: callResult(end, output),
      error: ok ? null : describeFailure(end),
      request_sha256: requestDigest(request.content),
    };
    answerCall(event, request.content.reply, content, world);
    return;
  }
  const content = finishedContent(execution, end, chunks, requestDigest(request.content));
  // The quicker copy first: it is the one that is waited for.
  const reply = replyOf(execution);
  if (reply) sendToDevice({ room_id: execution.room_id, ...reply }, EventTypes.execFinished, content, world);
  sendEvent(execution.room_id, EventTypes.execFinished, content, world);
  if (end.outcome === "cancelled")
    sendEvent(
      execution.room_id,
      EventTypes.execCancelled,
      {
        invocation_id: execution.invocation_id,
        signal_sent: end.signal ?? "SIGTERM",
        killed_process_group: true,
        finished_at: end.ended_at,
      },
      world,
    );
}

/** The content of `exec.finished`, to be bound and signed. */
export function finishedContent(
  execution: Execution,
  end: RunEnd,
  chunks: { stdout_chunks: number; stderr_chunks: number } | null,
  request_sha256: string,
): object {
  return {
    invocation_id: execution.invocation_id,
    exit_code: end.exit_code,
    signal: end.signal,
    duration_ms: end.duration_ms,
    stdout_bytes: end.stdout_bytes,
    stderr_bytes: end.stderr_bytes,
    truncated: end.truncated,
    artifact_mxc: null,
    outcome: end.outcome,
    stdout_sha256: base64Of(end.stdout_sha256),
    stderr_sha256: base64Of(end.stderr_sha256),
    ...chunks,
    request_sha256,
  };
}

/** A command that could not be started is rejected with the system's word for it. */
export function publishSpawnFailure(execution: Execution, end: RunEnd, world: ExecutorWorld): void {
  const event = eventOf(execution);
  const code = end.error?.code;
  const reason =
    code === "SANDBOX_UNAVAILABLE"
      ? "sandbox_unavailable"
      : code === "LIMIT_UNAVAILABLE"
        ? "limit_unavailable"
        : "spawn_failed";
  const hint = end.error ? `${end.error.code}: ${end.error.message}` : null;
  answerRefused(event, { request: shape(event), reason, hint }, world);
}

const base64Of = (hex: string) => Buffer.from(hex, "hex").toString("base64");
