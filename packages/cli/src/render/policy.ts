import type { Explanation } from "@mx-agent/ipc";
import { pairs, table } from "./table.ts";

export function renderExplanation(explanation: Explanation, columns: number): string {
  const head = pairs([
    ["request", explanation.request_id],
    ["decision", explanation.decision],
    ["reason", explanation.reason],
    ["rule", explanation.rule],
  ]);
  const steps = table(
    ["CHECK", "OUTCOME", "REASON", "DETAIL"],
    explanation.trace.map((step) => [step.check, step.outcome, step.reason ?? "", step.detail ?? ""]),
    columns,
  );
  const limits =
    explanation.limits === null
      ? ""
      : `limits:\n${pairs(Object.entries(explanation.limits).map(([name, value]) => [`  ${name}`, JSON.stringify(value)]))}`;
  return [head, steps, limits].filter((part) => part !== "").join("\n\n");
}
