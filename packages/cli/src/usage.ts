/** A mistake in what was typed, told with the help and the example of that very command. */
import { MxError, mxError } from "@mx-agent/base";
import type { Command } from "commander";
import { specOf } from "./verb.ts";

/** Of `words`, as far as they name a command; the example is there when they name one that can be run. */
interface Typed {
  path: string[];
  example: string | undefined;
}

/** MX_USAGE with a hint at the help of what was typed; where it names another command, that one's. */
export function atHelpOf(error: MxError, program: Command | undefined, words: readonly string[]): MxError {
  if (error.code !== "MX_USAGE") return error;
  const { path, example } = typedIn(program, words);
  const named = typeof error.details.command === "string" ? error.details.command : "";
  const [noun = ""] = path;
  // What several commands share names the first of them, or none; and who is elsewhere is told so.
  if (named !== "" && named.split(" ")[0] !== noun) return error;
  const command = path.join(" ");
  const see = noun === "" ? "see `mx-agent --help`" : mxError("MX_USAGE", { detail: "", command }).hint;
  const hint = example === undefined ? see : `${see}; for example \`mx-agent ${example}\``;
  return new MxError({ ...error.toJSON(), details: { ...error.details, command }, hint }, error.cause);
}

/** What can follow the words of a command that has verbs. */
export function verbsOf(program: Command | undefined, words: readonly string[]): string[] {
  let at = program;
  for (const word of words) at = at?.commands.find((command) => command.name() === word) ?? at;
  return at?.commands.map((command) => command.name()) ?? [];
}

function typedIn(program: Command | undefined, words: readonly string[]): Typed {
  let at = program;
  const path: string[] = [];
  for (const word of words) {
    const next: Command | undefined = at?.commands.find((command) => command.name() === word);
    if (next === undefined) break;
    path.push(word);
    at = next;
  }
  const example = at === undefined || at.commands.length > 0 ? undefined : specOf(at)?.example;
  return { path, example };
}
