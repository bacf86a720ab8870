/** The `invocation` state: for people who look at the room. Nothing acts on it. */
import { EventTypes, type InvocationDisplay } from "@mx-agent/protocol";
import type { RunEnd } from "@mx-agent/runner";
import type { Outbox } from "../matrix/api.ts";
import type { Execution } from "../state/executions.ts";

interface Line {
  outbox: Outbox;
  now(): number;
}

export function showRunning(execution: Execution, line: Line): void {
  show(execution, { state: "running", exit_code: null, state_rev: 1 }, line);
}

export function showEnded(execution: Execution, end: RunEnd, line: Line): void {
  const succeeded = end.outcome === "exited" && end.exit_code === 0;
  const state = end.outcome === "cancelled" ? "cancelled" : succeeded ? "succeeded" : "failed";
  show(execution, { state, exit_code: end.exit_code, state_rev: 2 }, line);
}

function show(
  execution: Execution,
  news: Pick<InvocationDisplay, "state" | "exit_code" | "state_rev">,
  line: Line,
): void {
  const { invocation_id, room_id, requesting_agent, target_agent, created_ts } = execution;
  const content = {
    invocation_id,
    task_id: null,
    requester: requesting_agent,
    target: target_agent,
    created_at: new Date(created_ts).toISOString(),
    updated_at: new Date(line.now()).toISOString(),
    ...news,
  };
  // A newer one takes the place of one that could not be sent yet.
  line.outbox.enqueue(
    { kind: "state", room_id, type: EventTypes.invocation, state_key: invocation_id, content },
    { replace_key: `invocation ${invocation_id}` },
  );
}
