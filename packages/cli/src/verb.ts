/** How a command is declared: name, one sentence, an example, and what it does. */
import { Command } from "commander";
import type { Cli, ExitCode } from "./cli.ts";
import { reflow } from "./render/screen.ts";

/** What a file in commands/ exports: adds its verbs to the noun, or its flags to a verb of its own. */
export type Define = (noun: Command, cli: Cli) => void;

export interface VerbSpec {
  /** Name and arguments, as `approve <agent>`. */
  name: string;
  summary: string;
  /** A line that a reader can type, without the `mx-agent` in front. */
  example: string;
  /** What an operator should know beside the summary. */
  more?: string;
}

/** A command below a noun, with --json. */
export function verb(noun: Command, spec: VerbSpec): Command {
  const command = new Command(spec.name.split(" ")[0]);
  const argumentsOf = spec.name.slice(command.name().length + 1);
  if (argumentsOf !== "") command.arguments(argumentsOf);
  command.copyInheritedSettings(noun);
  describe(command, spec);
  noun.addCommand(command);
  return command;
}

/** Gives a command its sentence, its example and --json. */
export function describe(command: Command, spec: Omit<VerbSpec, "name">): Command {
  specs.set(command, spec);
  command.description(spec.summary).option("--json", "answer with JSON on stdout, errors too");
  takeVerbose(command);
  const columns = command.configureOutput().getOutHelpWidth?.() ?? 80;
  const more = spec.more === undefined ? "" : `\n\n${reflow(spec.more, columns)}`;
  return command.addHelpText("after", `${more}\n\nExample:\n  mx-agent ${spec.example}`);
}

/** -v, which counts: for the command itself, and for a process that it starts. */
export function takeVerbose(command: Command): void {
  command.option("-v, --verbose", "say on stderr what is done; a daemon logs more, with -vv all", counted);
}

const counted = (_: string, before: unknown) => (typeof before === "number" ? before : 0) + 1;

const specs = new WeakMap<Command, Omit<VerbSpec, "name">>();

/** What a command was declared with; undefined for a noun that only has verbs. */
export function specOf(command: Command): Omit<VerbSpec, "name"> | undefined {
  return specs.get(command);
}

/** Where an action leaves its exit status; 0 where it leaves none. */
const exits = new WeakMap<Cli, ExitCode>();

export function exitOf(cli: Cli): ExitCode {
  return exits.get(cli) ?? 0;
}

export function setExit(cli: Cli, code: ExitCode): void {
  exits.set(cli, code);
}
