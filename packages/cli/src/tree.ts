/** The whole command line, every noun loaded: for what is made from it, and never for running a command. */
import { Command } from "commander";
import { type Cli, processCli } from "./cli.ts";
import { nouns } from "./nouns.ts";

/** Without those that mx-agent starts itself. */
export async function commandTree(cli: Cli = processCli()): Promise<Command> {
  const program = new Command("mx-agent").enablePositionalOptions();
  for (const noun of nouns) {
    if (noun.hidden === true) continue;
    const command = new Command(noun.name).description(noun.summary);
    program.addCommand(command);
    (await noun.load())(command, cli);
  }
  return program;
}

/** A command with the words that lead to it, `mx-agent` not among them. */
export interface Leaf {
  path: string[];
  command: Command;
}

/** Every command that can be run, in the order of the help. */
export function leaves(command: Command, path: string[] = []): Leaf[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap((sub) => leaves(sub, [...path, sub.name()]));
}
