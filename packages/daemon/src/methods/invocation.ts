import { setTimeout as pause } from "node:timers/promises";
import type { ExecResult, Handlers, InvocationInfo, InvocationResult, MethodName } from "@mx-agent/ipc";
import type { RunEnd } from "@mx-agent/runner";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import { endOfCall } from "../request/call-end.ts";
import type { PendingLine } from "../request/pending.ts";
import { sendOwnOutput } from "../run/own-output.ts";
import type { Execution, ExecutionTable } from "../state/executions.ts";
import type { Request } from "../state/requests.ts";
import { resultOf } from "./exec.ts";
import { duration_ms, parser } from "./params.ts";
import { notFound } from "./waiting.ts";

type Names = Extract<MethodName, `invocation.${string}`>;

const one = z.strictObject({ invocation_id: z.string().min(1).max(255) });
const logs = one.extend({ follow: z.boolean(), since_ts: z.int().nonnegative().nullable() });
const listParams = z.strictObject({
  side: z.enum(["caller", "executor"]).nullable(),
  running: z.boolean(),
  limit: z.int().positive().max(10_000),
});
const UNDER_WAY = ["received", "held", "admitted", "starting", "running"] as const;
/** How often a run of this machine is looked at by who waits for it here. */
const LOOK_MS = 100;
const OVER = new Set(["ended", "rejected", "lost"]);

/** What this machine asked of others; and what there is to read about what runs here. */
export function invocationMethods(daemon: Daemon): Pick<Handlers, Names> {
  const { executions, requests } = daemon.tables;
  const requireRequest = (invocation_id: string): Request =>
    requests.get(invocation_id) ?? notFound(invocation_id);
  return {
    "invocation.list": {
      parse: parser(listParams),
      handle: async ({ side, running, limit }) =>
        [
          ...(side === "executor" ? [] : (running ? requests.open() : requests.recent(limit)).map(ofRequest)),
          ...(side === "caller"
            ? []
            : (running ? executions.inState(...UNDER_WAY) : executions.recent(limit)).map(ofExecution)),
        ]
          .sort((a, b) => (a.created_at < b.created_at ? 1 : -1))
          .slice(0, limit),
    },
    "invocation.show": {
      parse: parser(one),
      handle: async ({ invocation_id }) => {
        const request = requests.get(invocation_id);
        if (request) return ofRequest(request);
        const execution = executions.byInvocation(invocation_id);
        return execution ? ofExecution(execution) : notFound(invocation_id);
      },
    },
    "invocation.cancel": {
      parse: parser(one),
      handle: async ({ invocation_id }) => {
        const online = daemon.requireOnline();
        const request = requireRequest(invocation_id);
        if (!OVER.has(request.state)) online.caller.cancel(request, "the caller asked for it");
        return { invocation_id, state: request.state };
      },
    },
    "invocation.wait": {
      parse: parser(one),
      handle: async ({ invocation_id }, { signal }) => {
        const execution = requests.get(invocation_id) ? undefined : executions.byInvocation(invocation_id);
        if (execution) return ownEnd(execution, executions, signal);
        const online = daemon.requireOnline();
        const pending = online.caller.attach(requireRequest(invocation_id), async () => {}, "none");
        try {
          online.caller.replayOutcome(pending, false);
          const settled = await Promise.race([online.caller.outcome(pending), untilLeft(signal)]);
          return settled.type === "response"
            ? endOfCall(pending.request, settled)
            : resultOf(pending, settled);
        } finally {
          online.caller.release(pending);
        }
      },
    },
    "invocation.logs": {
      parse: parser(logs),
      handle: async ({ invocation_id, follow, since_ts }, { send, signal }) => {
        const online = daemon.requireOnline();
        const request = requireRequest(invocation_id);
        const pass: PendingLine["emit"] = async (item, timestamp) => {
          if (!isBefore(timestamp, since_ts)) await send(item);
        };
        const pending = online.caller.attach(request, pass, follow ? "all" : "there");
        try {
          online.caller.replayOutcome(pending, true);
          const waited = follow || OVER.has(request.state) ? pending.settled : pending.quiet();
          const settled = await Promise.race([waited, untilLeft(signal)]);
          const result: InvocationResult | null = settled?.type === "finished" ? settled.result : null;
          return { result };
        } finally {
          online.caller.release(pending);
        }
      },
    },
    "invocation.prune": {
      parse: parser(z.strictObject({ older_than_ms: duration_ms })),
      handle: ({ older_than_ms }) => daemon.retention.prune(older_than_ms),
    },
  };
}

/** The same of what runs here for others. */
export function runMethods(daemon: Daemon): Pick<Handlers, Extract<MethodName, `run.${string}`>> {
  const { executions } = daemon.tables;
  const requireExecution = (invocation_id: string): Execution =>
    executions.byInvocation(invocation_id) ?? notFound(invocation_id);
  return {
    "run.cancel": {
      parse: parser(one),
      handle: async ({ invocation_id }) => {
        const execution = requireExecution(invocation_id);
        if (!OVER.has(execution.state)) await daemon.cancelRun(execution);
        return { invocation_id, state: executions.byRun(execution.run_id)?.state ?? execution.state };
      },
    },
    "run.logs": {
      parse: parser(logs),
      handle: async ({ invocation_id, follow, since_ts }, { send, signal }) => {
        const { runner, indexDir } = daemon;
        const execution = requireExecution(invocation_id);
        const { run_id } = execution;
        await sendOwnOutput({ runner, executions, run_id, indexDir, since_ts, follow, signal, send });
        // Left in the middle is not the end of it: the client asks the next daemon.
        signal.throwIfAborted();
        return { result: ofExecution(executions.byRun(run_id) ?? execution).result };
      },
    },
  };
}

/** The end of a run of this machine, as the operator who looks here sees it. */
async function ownEnd(
  { run_id }: Execution,
  executions: ExecutionTable,
  signal: AbortSignal,
): Promise<ExecResult> {
  for (;;) {
    const { state, invocation_id, request_id, reason, end } = executions.byRun(run_id) ?? notFound(run_id);
    if (state === "rejected")
      return {
        type: "rejected",
        invocation_id,
        request_id,
        reason: reason ?? "policy_denied",
        detail: null,
        origin: "local",
      };
    const result = end && resultOfEnd(end);
    if (state === "ended" && result) return { type: "finished", invocation_id, result };
    await pause(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Rejects when nobody waits any more. */
function untilLeft(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function isBefore(timestamp: string | undefined, since_ts: number | null): boolean {
  return since_ts !== null && timestamp !== undefined && Date.parse(timestamp) < since_ts;
}

function ofRequest(request: Request): InvocationInfo {
  return {
    invocation_id: request.invocation_id,
    request_id: request.request_id,
    side: "caller",
    kind: request.kind,
    room_id: request.room_id,
    agent: request.agent,
    requester: request.requesting_agent,
    summary: request.summary,
    state: request.state,
    created_at: new Date(request.created_ts).toISOString(),
    ended_at: request.ended_ts === null ? null : new Date(request.ended_ts).toISOString(),
    result: request.result,
    reason: request.reason,
  };
}

function ofExecution(execution: Execution): InvocationInfo {
  const { end } = execution;
  return {
    invocation_id: execution.invocation_id,
    request_id: execution.request_id,
    side: "executor",
    kind: execution.kind,
    room_id: execution.room_id,
    agent: execution.target_agent,
    requester: `${execution.requesting_agent} (${execution.sender})`,
    summary: execution.summary,
    state: execution.state,
    created_at: new Date(execution.created_ts).toISOString(),
    ended_at: execution.ended_ts === null ? null : new Date(execution.ended_ts).toISOString(),
    result: end && resultOfEnd(end),
    reason: execution.reason,
  };
}

function resultOfEnd(end: RunEnd): InvocationResult {
  const { outcome, exit_code, signal, duration_ms, stdout_bytes, stderr_bytes, truncated } = end;
  return { outcome, exit_code, signal, duration_ms, stdout_bytes, stderr_bytes, truncated, complete: null };
}
