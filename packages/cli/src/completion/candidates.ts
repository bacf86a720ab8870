/** What can follow the words that are typed: the same answer for every shell. */
import type { Argument, Command, Option } from "commander";
import type { Cli } from "../cli.ts";
import { ask } from "../daemon.ts";
import { commandTree } from "../tree.ts";

export interface Candidate {
  value: string;
  about: string;
}

/** A person waits for it at the keyboard; a daemon that thinks for longer is not waited for. */
const PATIENCE_MS = 1000;

/**
 * `words`: what follows `mx-agent`, the last one being typed now. Nothing where the shell's own completion (of files)
 * is better.
 */
export async function candidates(cli: Cli, words: readonly string[]): Promise<Candidate[]> {
  const typed = words.at(-1) ?? "";
  const { command, option, argument } = placeOf(await commandTree(cli), words.slice(0, -1));
  // What follows -- is the remote command's.
  if (command === undefined) return [];
  const all =
    option !== undefined
      ? await valuesOf(cli, option.attributeName(), option.argChoices)
      : typed.startsWith("-")
        ? optionsOf(command)
        : command.commands.length > 0
          ? command.commands.map((sub) => ({ value: sub.name(), about: sub.description() }))
          : argument === undefined
            ? []
            : await valuesOf(cli, argument.name(), argument.argChoices);
  return all.filter(({ value }) => value.startsWith(typed));
}

interface Place {
  command: Command | undefined;
  /** Whose value comes next. */
  option?: Option | undefined;
  /** Which one comes next. */
  argument?: Argument | undefined;
}

function placeOf(program: Command, before: readonly string[]): Place {
  let command = program;
  let given = 0;
  for (let at = 0; at < before.length; at++) {
    const word = before[at] ?? "";
    if (word === "--") return { command: undefined };
    if (word.startsWith("-")) {
      const option = command.options.find(({ long, short }) => long === word || short === word);
      if (option === undefined || !(option.required || option.optional)) continue;
      if (++at === before.length) return { command, option };
      continue;
    }
    const sub = command.commands.find((one) => one.name() === word);
    if (sub === undefined) given++;
    else command = sub;
  }
  const last = command.registeredArguments.at(-1);
  const argument = command.registeredArguments[given] ?? (last?.variadic === true ? last : undefined);
  return { command, argument };
}

function optionsOf(command: Command): Candidate[] {
  const own = command.options.map((option) => ({
    value: option.long ?? option.short ?? "",
    about: option.description,
  }));
  return [...own, { value: "--help", about: "what it does, with an example" }];
}

/** Names that the daemon knows, or that are declared. */
async function valuesOf(
  cli: Cli,
  name: string,
  choices: readonly string[] | undefined,
): Promise<Candidate[]> {
  if (choices !== undefined) return choices.map((value) => ({ value, about: "" }));
  const asking = known(cli, name).catch(() => []);
  const late = new Promise<Candidate[]>((resolve) => setTimeout(() => resolve([]), PATIENCE_MS).unref());
  return Promise.race([asking, late]);
}

async function known(cli: Cli, name: string): Promise<Candidate[]> {
  if (name === "room")
    return (await ask(cli, "workspace.list", {}))
      .filter(({ membership }) => membership !== "leave")
      .map((one) => ({ value: one.name ?? one.alias ?? one.room_id, about: one.room_id }));
  if (name === "agent")
    return (await ask(cli, "agent.list", { room: null, ping: false })).map((one) => ({
      value: one.agent_id,
      about: `${one.user_id}, ${one.liveness}`,
    }));
  if (name === "invocation")
    return (await ask(cli, "invocation.list", { side: null, running: false, limit: 20 })).map((one) => ({
      value: one.invocation_id,
      about: one.summary,
    }));
  return [];
}
