import type { FileIdentity } from "@mx-agent/base";
import type { AllowedCommand, ApprovalRule, Entry } from "./model.ts";
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
  if (rule.kind === "command" && !isCommand(rule.command, path, program.executable)) return false;
  let next = 0;
  for (const argument of args) if (argument === rule.args[next]) next++;
  return next === rule.args.length;
}

/**
 * Whether a program is the one that an item names, under whatever name it is asked for: another link to its file, or
 * another of the names of a program that has several. What allows compares the name as well; what holds back does not.
 */
function isCommand({ written, found }: AllowedCommand, path: string, file: FileIdentity): boolean {
  if (found) return found.path === path || (found.target.dev === file.dev && found.target.ino === file.ino);
  // It was not there when the policy was loaded: whatever bears its name is held.
  return [path, file.path].some((one) => nameOf(one) === nameOf(written));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
