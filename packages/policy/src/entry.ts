/** What one entry says about one request. The order of the checks is the order in which a request passes them. */
import { needsApproval } from "./approval.ts";
import { refuseVariable } from "./environment.ts";
import { execProgram } from "./exec-program.ts";
import type { Entry } from "./model.ts";
import type { EntryCheck, Program, Question, Refusal } from "./program.ts";
import { toolProgram } from "./tool-program.ts";

export type Outcome =
  | { effect: "deny"; passed: EntryCheck[]; at: EntryCheck; refusal: Refusal }
  | { effect: "allow"; passed: EntryCheck[]; program: Program }
  | { effect: "hold"; passed: EntryCheck[]; program: Program; held: string };

export function askEntry(entry: Entry, question: Question): Outcome {
  const passed: EntryCheck[] = [];
  const { request, policy } = question;
  const deny = (at: EntryCheck, refusal: Refusal): Outcome => ({ effect: "deny", passed, at, refusal });
  const program =
    request.ask.kind === "exec"
      ? execProgram(entry, request.ask.command, request.cwd, question, passed)
      : toolProgram(entry, request.ask.tool, request.ask.args, question, passed);
  if ("refusal" in program) return deny(program.at, program.refusal);

  for (const [name, value] of Object.entries(request.env)) {
    const why = refuseVariable(name, value, entry.settings.envAllowlist);
    if (why === null) continue;
    const code = "env_override_not_allowed";
    return deny("env", {
      code,
      key: "env_allowlist",
      detail: why,
      peer: `the variable ${JSON.stringify(name)} may not be set`,
    });
  }
  passed.push("env");

  if (entry.settings.sandbox === "none" && (policy.requireSandbox || !entry.allowUnsandboxed)) {
    const detail = policy.requireSandbox
      ? `require_sandbox is set (${policy.requireSandbox.rule}), and the entry's sandbox is "none"`
      : 'sandbox = "none" needs allow_unsandboxed = true in the entry';
    return deny("sandbox", { code: "sandbox_required", key: "sandbox", detail, peer: null });
  }
  passed.push("sandbox");

  if (entry.requireVerifiedDevice && !question.deviceChecked && request.device_verified !== true) {
    const detail = "the entry demands a verified device";
    return deny("device", { code: "unverified_device", key: "require_verified_device", detail, peer: null });
  }
  passed.push("device");

  const held = needsApproval(entry, program);
  if (held !== null) return { effect: "hold", passed, program, held };
  passed.push("approval");
  return { effect: "allow", passed, program };
}
