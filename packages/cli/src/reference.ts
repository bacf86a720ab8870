/** The reference of the command line, from the same definitions that it runs by. */
import type { Command, Option } from "commander";
import { commandTree } from "./tree.ts";
import { specOf } from "./verb.ts";

/** Markdown, without a heading for the whole page's origin. */
export async function cliReference(): Promise<string> {
  const program = await commandTree();
  return [
    introduction,
    table(
      ["command", "what it is about"],
      program.commands.map((noun) => [`[\`${noun.name()}\`](#${noun.name()})`, noun.description()]),
    ),
    ...program.commands.map((noun) => section(noun, ["mx-agent"], 2)),
  ].join("\n\n");
}

const introduction = `# Command line

\`mx-agent NOUN VERB\`, and the verbs \`exec\` and \`call\`. \`mx-agent NOUN VERB --help\` shows what is here.

Standard output is the answer, and everything else goes to standard error. Every command takes \`--json\`: the answer is
then one JSON value, and a failure one object \`{"error":{…}}\`; [errors.md](errors.md) lists both errors and exit codes.
What goes on while it is read (\`audit tail\`, \`daemon logs\`, \`workspace status --watch\`, \`exec --json-stream\`) is one value in each line.
Every command takes \`-v\`: it says on standard error what it asks whom, and how long that took; a daemon that it starts
logs at the level \`debug\`, with \`-vv\` at \`trace\`.
\`--room\` and \`--agent\` fall back to \`default_room\` and \`default_agent\` of [configuration.md](configuration.md). A
duration is written \`250ms\`, \`30s\`, \`5m\`, \`2h\` or \`7d\`. Colours are for terminals, and \`NO_COLOR\` turns them off.`;

function section(command: Command, above: readonly string[], level: number): string {
  const path = [...above, command.name()];
  const spec = specOf(command);
  const verbs = command.commands;
  const parts = [
    `${"#".repeat(Math.min(level, 4))} ${level === 2 ? command.name() : path.slice(1).join(" ")}`,
    `${sentence(command.description())}`,
  ];
  if (spec !== undefined && verbs.length === 0) {
    const usage = [...path, ...usageOf(command)].join(" ");
    parts.push(`\`\`\`text\n${usage}\n\`\`\``);
    if (spec.more !== undefined) parts.push(withExamples(spec.more));
    const options = ownOptions(command);
    if (options.length > 0)
      parts.push(
        table(
          ["option", "what for", "default"],
          options.map((option) => [`\`${option.flags}\``, option.description, defaultOf(option)]),
        ),
      );
    parts.push(`For example: \`mx-agent ${spec.example}\``);
  }
  return [...parts, ...verbs.map((verb) => section(verb, path, level + 1))].join("\n\n");
}

/** Options that must be given, and arguments; the others are in the table. */
function usageOf(command: Command): string[] {
  const required = command.options.filter((option) => option.mandatory).map((option) => option.flags);
  const words = command.registeredArguments.map((argument) => {
    const name = argument.variadic ? `${argument.name()}...` : argument.name();
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  const optional = ownOptions(command).length > required.length ? ["[options]"] : [];
  return [...required, ...optional, ...words];
}

/** All but --json and --verbose, which every command has. */
const ownOptions = (command: Command) =>
  command.options.filter(({ long }) => long !== "--json" && long !== "--verbose");

/** Lines that are set in are something to type. */
const withExamples = (text: string) => text.replace(/^ {2}(\S.*)$/gm, "\n```text\n$1\n```");

function defaultOf(option: Option): string {
  const value: unknown = option.defaultValue;
  if (option.mandatory) return "must be given";
  return typeof value === "string" ? `\`${value}\`` : "";
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
