import type { ExecResult, InvocationInfo, InvocationResult, Result } from "@mx-agent/ipc";
import { pairs, table } from "./table.ts";
import { bytes, duration } from "./time.ts";

export function renderInvocations(invocations: readonly InvocationInfo[], columns: number): string {
  if (invocations.length === 0) return "no invocations";
  return table(
    ["INVOCATION", "SIDE", "STATE", "AGENT", "REQUESTER", "CREATED", "WHAT"],
    invocations.map((one) => [
      one.invocation_id,
      one.side,
      one.result ? outcome(one.result) : one.reason ? `${one.state} (${one.reason})` : one.state,
      one.agent,
      one.requester,
      one.created_at,
      one.summary,
    ]),
    columns,
  );
}

export function renderInvocation(one: InvocationInfo): string {
  return pairs([
    ["invocation", one.invocation_id],
    ["request", one.request_id],
    ["what", one.summary],
    ["side", one.side === "caller" ? "asked from here" : "run here"],
    ["agent", one.agent],
    ["requester", one.requester],
    ["room", one.room_id],
    ["state", one.state],
    ["reason", one.reason],
    ["created", one.created_at],
    ["ended", one.ended_at],
    ...(one.result ? resultPairs(one.result) : []),
  ]);
}

export function renderCancelled({ invocation_id, state }: Result<"invocation.cancel">): string {
  if (state === "rejected") return `${invocation_id} was refused, and does not run`;
  if (state === "ended" || state === "lost") return `${invocation_id} has ended`;
  return `${invocation_id} is told to end; \`mx-agent invocation wait ${invocation_id}\` waits for that`;
}

export function renderEnd(end: ExecResult): string {
  if (end.type === "detached") return `${end.invocation_id} is running`;
  if (end.type === "rejected") return `${end.invocation_id} was refused: ${end.reason}`;
  return pairs([["invocation", end.invocation_id], ...resultPairs(end.result)]);
}

function resultPairs(result: InvocationResult): [string, string][] {
  return [
    ["outcome", outcome(result)],
    ["took", duration(result.duration_ms)],
    ["stdout", bytes(result.stdout_bytes)],
    ["stderr", bytes(result.stderr_bytes)],
    ...(result.truncated ? [cutOff(result)] : []),
    ["complete", result.complete === null ? "not known" : result.complete ? "yes" : "no"],
  ];
}

const cutOff = ({ outcome: name }: InvocationResult): [string, string] => [
  "cut off",
  name === "output_limit"
    ? "by the limit of the policy there, or a disk that took no more"
    : "its end was not kept",
];

function outcome({ outcome: name, exit_code, signal }: InvocationResult): string {
  if (name === "exited") return `exited ${exit_code}`;
  if (name === "signaled") return `signaled ${signal}`;
  return name.replace("_", " ");
}
