/** A command of the peer's choice: allowed by its file, its directory and its arguments. */
import type { FileIdentity } from "@mx-agent/base";
import type { DenyCode } from "./codes.ts";
import { refuseCommand, refuseStarted } from "./command.ts";
import type { Grant } from "./decision.ts";
import type { Machine, ResolvedCommand } from "./machine.ts";
import type { Entry } from "./model.ts";
import { absolutePath, isInside } from "./paths.ts";
import type { EntryCheck, Program, Question, Refusal, Step } from "./program.ts";

export function execProgram(
  entry: Entry,
  command: string[],
  requestedCwd: string | null,
  { request, policy, machine }: Question,
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
  const { under } = request;
  const cwd = under
    ? around(entry, under.cwd.path, under.cwd)
    : workingDirectory(entry, requestedCwd, machine);
  const from = "directory" in cwd ? cwd.directory.path : null;
  const resolved = under ? startedAs(under) : machine.resolveCommand(name, from);
  const instead = () => machine.insteadOfCommand?.(name, from) ?? null;
  const refusal = under
    ? refuseStarted(entry.commands, startedAs(under).path, machine.home)
    : refuseCommand(entry.commands, name, resolved, instead);
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

export function startedAs({ argv, executable }: Grant): ResolvedCommand {
  return { path: argv[0] ?? executable.path, target: executable };
}

type Place = { directory: FileIdentity; project: string } | { refusal: Refusal };

function refuse(code: DenyCode, asked: string, detail: string): { refusal: Refusal } {
  const peer = `the working directory ${JSON.stringify(asked)} is not allowed to you here, or not there`;
  return { refusal: { code, key: "allow_cwd", detail, peer } };
}

function workingDirectory(entry: Entry, requested: string | null, machine: Machine): Place {
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
  return around(entry, asked, directory);
}

/** The widest of allow_cwd around a directory. */
function around(entry: Entry, asked: string, directory: FileIdentity): Place {
  const [project] = entry.directories
    .map((allowed) => allowed.path)
    .filter((path) => isInside(directory.path, path))
    .toSorted((a, b) => a.length - b.length);
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

export function denied(argument: string, source: string): Refusal {
  return {
    code: "args_denied",
    key: "deny_args_regex",
    detail: `${JSON.stringify(argument)} matches ${JSON.stringify(source)}`,
    peer: "one of the arguments is not allowed to you here",
  };
}
