/** A tool of the operator's making, with the peer's arguments filled in. */
import type { DenyCode } from "./codes.ts";
import { refuseCommand, refuseStarted } from "./command.ts";
import { denied, startedAs } from "./exec-program.ts";
import type { Entry } from "./model.ts";
import type { EntryCheck, Program, Question, Step } from "./program.ts";
import { fill } from "./template.ts";
import { parseSelector, selects } from "./tools.ts";

export function toolProgram(
  entry: Entry,
  asked: string,
  args: Record<string, unknown>,
  { request: { under }, policy, machine }: Question,
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
  const { written, found } = tool.command;
  const now = under ? startedAs(under) : found && machine.resolveCommand(found.path, null);
  const instead = () => machine.insteadOfCommand?.(written, null) ?? null;
  const refusal = under
    ? refuseStarted([tool.command], startedAs(under).path, machine.home)
    : refuseCommand([tool.command], written, now, instead);
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
  const isThere = under?.cwd.path === tool.directory.path;
  const cwd = isThere ? under.cwd : machine.resolveDirectory(tool.directory.path);
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
