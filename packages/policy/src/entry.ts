/** What one entry says about one request. The order of the checks is the order in which a request passes them. */
import type { FileIdentity } from "@mx-agent/base";
import type { DenyCode } from "./codes.ts";
import type { PolicyRequest } from "./decision.ts";
import { refuseVariable } from "./environment.ts";
import type { Machine, ResolvedCommand } from "./machine.ts";
import type { AllowedCommand, ApprovalRule, Entry, Policy, Room, Tool } from "./model.ts";
import { absolutePath, isInside } from "./paths.ts";
import { fill } from "./template.ts";
import { parseSelector, selects } from "./tools.ts";

export interface Refusal {
  code: DenyCode;
  /** The entry's key that decided. */
  key: string;
  /** For the operator. */
  detail: string;
  /** For the peer; null says nothing beyond the reason. */
  peer: string | null;
}

/** What will run, before limits. */
export interface Program {
  executable: FileIdentity;
  argv: string[];
  cwd: FileIdentity;
  /** Writable: the widest of allow_cwd around the working directory, or the tool's directory. */
  project: string;
  tool: Tool | null;
}

export type Outcome =
  | { effect: "deny"; passed: EntryCheck[]; at: EntryCheck; refusal: Refusal }
  | { effect: "allow"; passed: EntryCheck[]; program: Program }
  | { effect: "hold"; passed: EntryCheck[]; program: Program; held: string };

export const entryChecks = [
  "exec",
  "command",
  "tool",
  "input",
  "cwd",
  "args",
  "env",
  "sandbox",
  "device",
  "approval",
] as const;
export type EntryCheck = (typeof entryChecks)[number];

export interface Question {
  request: PolicyRequest;
  policy: Policy;
  room: Room;
  machine: Machine;
  /** Whether the verified device was demanded of the request as a whole, before the policy. */
  deviceChecked: boolean;
}

export function askEntry(entry: Entry, question: Question): Outcome {
  const passed: EntryCheck[] = [];
  const { request, policy, machine } = question;
  const deny = (at: EntryCheck, refusal: Refusal): Outcome => ({ effect: "deny", passed, at, refusal });
  const program =
    request.ask.kind === "exec"
      ? execProgram(entry, request.ask.command, request.cwd, question, passed)
      : toolProgram(entry, request.ask.tool, request.ask.args, policy, machine, passed);
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

type Step = { at: EntryCheck; refusal: Refusal };

function execProgram(
  entry: Entry,
  command: string[],
  requestedCwd: string | null,
  { policy, machine }: Question,
  passed: EntryCheck[],
): Program | Step {
  if (!entry.allowExec) {
    const detail = "allow_exec is not true, and the room's raw_exec_default is not allow";
    return {
      at: "exec",
      refusal: {
        code: "exec_not_allowed",
        key: "allow_exec",
        detail,
        peer: "commands are not allowed to you here",
      },
    };
  }
  passed.push("exec");
  const [name, ...args] = command;
  if (name === undefined || name === "" || command.some((argument) => argument.includes("\0"))) {
    const detail = "the command is empty, or an argument has a NUL byte";
    return {
      at: "command",
      refusal: { code: "command_invalid", key: "allow_commands", detail, peer: detail },
    };
  }
  // A command given relative to the working directory is looked up in the one that will be used.
  const cwd = workingDirectory(entry, requestedCwd, machine);
  const resolved = machine.resolveCommand(name, "directory" in cwd ? cwd.directory.path : null);
  const refusal = refuseCommand(entry.commands, name, resolved);
  if (refusal) return { at: "command", refusal };
  if (!resolved) throw new Error("a command that was not found was let through");
  passed.push("command");
  if ("refusal" in cwd) return { at: "cwd", refusal: cwd.refusal };
  passed.push("cwd");
  const matched = deniedArgument(entry, command, policy.legacy);
  if (matched) return { at: "args", refusal: matched };
  passed.push("args");
  return {
    executable: resolved.target,
    argv: [resolved.path, ...args],
    cwd: cwd.directory,
    project: cwd.project,
    tool: null,
  };
}

function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.path === b.path && a.dev === b.dev && a.ino === b.ino;
}

function refuseCommand(allowed: AllowedCommand[], name: string, now: ResolvedCommand | null): Refusal | null {
  const refuse = (code: DenyCode, detail: string, peer: string): Refusal => ({
    code,
    key: "allow_commands",
    detail,
    peer,
  });
  const shown = JSON.stringify(name);
  if (now) {
    const named = allowed.filter((command) => command.found?.path === now.path);
    if (named.some((command) => command.found && sameFile(command.found.target, now.target))) return null;
    if (named.length > 0) {
      return refuse(
        "command_changed",
        `the file behind ${now.path} is another one (${now.target.path}) than when the policy was loaded; \`mx-agent daemon reload\` reads it again`,
        `${shown} changed on that machine since its policy was loaded; its operator has to reload it`,
      );
    }
  }
  if (!now && allowed.some((command) => command.written === name)) {
    return refuse("command_not_found", `${shown} is allowed, but not there`, `${shown} is not there`);
  }
  const what = now ? `${shown} is ${now.path} (${now.target.path}), which` : `${shown}`;
  return refuse(
    "command_not_allowed",
    `${what} is not in allow_commands`,
    `the command ${shown} is not allowed to you here`,
  );
}

function workingDirectory(
  entry: Entry,
  requested: string | null,
  machine: Machine,
): { directory: FileIdentity; project: string } | { refusal: Refusal } {
  const refuse = (code: DenyCode, asked: string, detail: string): { refusal: Refusal } => ({
    refusal: {
      code,
      key: "allow_cwd",
      detail,
      peer: `the working directory ${JSON.stringify(asked)} is not allowed to you here, or not there`,
    },
  });
  const asked = requested || entry.directories[0]?.path;
  if (asked === undefined) return refuse("cwd_not_allowed", "", "none was asked for, and allow_cwd is empty");
  const directory = machine.resolveDirectory(asked);
  if (!directory) {
    const lexical = absolutePath(asked, "");
    const inside = lexical !== null && entry.directories.some((allowed) => isInside(lexical, allowed.path));
    return refuse(
      inside ? "cwd_not_found" : "cwd_not_allowed",
      asked,
      `${JSON.stringify(asked)} is no directory that can be entered`,
    );
  }
  const around = entry.directories.filter((allowed) => isInside(directory.path, allowed.path));
  const [project] = around.map((allowed) => allowed.path).toSorted((a, b) => a.length - b.length);
  if (project === undefined)
    return refuse(
      "cwd_not_allowed",
      asked,
      `${JSON.stringify(asked)} is ${directory.path}, which is not inside allow_cwd`,
    );
  return { directory, project };
}

/**
 * A pattern denies an argument that it matches as a whole. In a file of the first implementation it
 * denies where it matches anywhere, in the command's name and in the line of all of them too.
 */
function deniedArgument(entry: Entry, command: string[], legacy: boolean): Refusal | null {
  const candidates = legacy ? [...command, command.join(" ")] : command.slice(1);
  for (const pattern of entry.denyArguments) {
    const found = candidates.find((text) => (legacy ? pattern.occursIn(text) : pattern.matches(text)));
    if (found !== undefined) return denied(found, pattern.source);
  }
  return null;
}

function denied(argument: string, source: string): Refusal {
  return {
    code: "args_denied",
    key: "deny_args_regex",
    detail: `${JSON.stringify(argument)} matches ${JSON.stringify(source)}`,
    peer: "one of the arguments is not allowed to you here",
  };
}

function toolProgram(
  entry: Entry,
  asked: string,
  args: Record<string, unknown>,
  policy: Policy,
  machine: Machine,
  passed: EntryCheck[],
): Program | Step {
  const selector = parseSelector(asked);
  const tool = selector ? policy.tools.get(selector.name) : undefined;
  const refuse = (
    at: EntryCheck,
    code: DenyCode,
    key: string,
    detail: string,
    peer: string | null,
  ): Step => ({
    at,
    refusal: { code, key, detail, peer },
  });
  const shown = JSON.stringify(asked);
  if (!selector || !tool || !selects(selector, tool)) {
    return refuse(
      "tool",
      "tool_not_found",
      "allow_tools",
      `there is no tool ${shown}`,
      `there is no tool ${shown}`,
    );
  }
  if (!entry.tools.some((allowed) => selects(allowed, tool))) {
    const detail = `${tool.name}@${tool.version} is not in allow_tools`;
    return refuse(
      "tool",
      "tool_not_allowed",
      "allow_tools",
      detail,
      `the tool ${shown} is not allowed to you here`,
    );
  }
  const now = tool.command.found ? machine.resolveCommand(tool.command.found.path, null) : null;
  const refusal = refuseCommand([tool.command], tool.command.written, now);
  if (refusal) return { at: "tool", refusal: { ...refusal, key: "allow_tools", peer: refusal.peer } };
  if (!now) throw new Error("a tool's command that was not found was let through");
  passed.push("tool");
  const input = tool.validate(args);
  if (!input.ok) return refuse("input", "tool_input_invalid", "allow_tools", input.detail, input.detail);
  let filled: ReturnType<typeof fill>;
  try {
    filled = tool.template.flatMap((item) => fill(item, input.args));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return refuse("input", "tool_input_invalid", "allow_tools", detail, detail);
  }
  passed.push("input");
  const cwd = machine.resolveDirectory(tool.directory.path);
  if (!cwd || cwd.path !== tool.directory.path) {
    const detail = `the tool's directory ${tool.directory.path} is not there, or another one than when the policy was loaded`;
    return refuse("cwd", "cwd_not_found", "allow_tools", detail, "the tool's directory is not there");
  }
  passed.push("cwd");
  for (const pattern of entry.denyArguments) {
    const found = filled.find((argument) => argument.filled && pattern.matches(argument.text));
    if (found) return { at: "args", refusal: denied(found.text, pattern.source) };
  }
  passed.push("args");
  return {
    executable: now.target,
    argv: [now.path, ...filled.map((argument) => argument.text)],
    cwd,
    project: cwd.path,
    tool,
  };
}

/** Why a person has to approve it, or null. */
function needsApproval(entry: Entry, program: Program): string | null {
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
