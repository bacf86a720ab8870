import type { ApprovalRule, Entry } from "./model.ts";
import type { Program } from "./program.ts";
import { selects } from "./tools.ts";

/** Why a person has to approve it, or null. */
export function needsApproval(entry: Entry, program: Program): string | null {
  if (entry.approval === true) return "everything that this entry allows needs approval";
  const rule = entry.approval.find((candidate) => fits(candidate, program));
  return rule ? "the request fits an item of requires_approval" : null;
}

function fits(rule: ApprovalRule, program: Program): boolean {
  if (rule.kind === "tool") return program.tool !== null && selects(rule.selector, program.tool);
  if (program.tool) return false;
  const [path = "", ...args] = program.argv;
  if (rule.kind === "command" && rule.command.found?.path !== path) return false;
  let next = 0;
  for (const argument of args) if (argument === rule.args[next]) next++;
  return next === rule.args.length;
}
