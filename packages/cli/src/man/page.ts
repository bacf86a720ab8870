/** Manual pages in roff (man(7)), from the same definitions that the command line runs by. */
import type { Command, Option } from "commander";
import { commandTree, type Leaf, leaves } from "../tree.ts";
import { specOf } from "../verb.ts";

export interface ManPage {
  /** Without its section: `mx-agent-exec`. */
  name: string;
  text: string;
}

/** One for mx-agent, and one for each noun. */
export async function manPages(version: string): Promise<ManPage[]> {
  const program = await commandTree();
  return [overview(program, version), ...program.commands.map((noun) => nounPage(noun, version))];
}

function overview(program: Command, version: string): ManPage {
  const nouns = program.commands.flatMap((noun) => [
    ".TP",
    `.BR ${escaped(`mx-agent-${noun.name()}`)} (1)`,
    sentence(noun.description()),
  ]);
  return {
    name: "mx-agent",
    text: page(
      "mx-agent",
      version,
      "signed commands, tools and messages between machines, through Matrix rooms",
      [
        ".SH SYNOPSIS",
        ".B mx-agent",
        ".I command",
        ".RI [ options ]",
        ".SH DESCRIPTION",
        ...paragraphs(
          "An agent or a script on one machine runs commands and calls tools on another, through a Matrix room. Each machine runs one daemon that only dials out. Being in the room allows nothing: a request runs when its signature is by a key that the other machine's operator approved, and that machine's own policy allows it.",
        ),
        ...paragraphs(
          "Standard output is the answer, and everything else goes to standard error. Every command takes --json. A duration is written 250ms, 30s, 5m, 2h or 7d.",
        ),
        ".SH COMMANDS",
        ...nouns,
        ".SH EXIT STATUS",
        ...exitStatus,
        ".SH ENVIRONMENT",
        ...environment,
        ".SH FILES",
        ".TP",
        ".I ~/.config/mx-agent/config.toml",
        "settings",
        ".TP",
        ".I ~/.config/mx-agent/policy.toml",
        "what others may do on this machine",
        ".TP",
        ".I ~/.local/share/mx-agent/",
        "keys, state, output and the audit log",
      ],
    ),
  };
}

const exitStatus = [
  ["0", "done; for exec and call the remote command's own status, 128 + n when signal n ended it"],
  ["3", "the answer is no: not running, not logged in, no such thing"],
  ["64, 65", "the command was wrong, or its data"],
  ["69", "the daemon or the homeserver is not there"],
  ["70", "a bug in mx-agent"],
  ["74, 76", "something cannot be written, is incomplete, or is not understood"],
  ["77", "refused: by policy, trust, an approval or a role"],
  ["78", "configuration or platform"],
  ["124, 126, 127, 130", "it took too long, could not be started, was not found, was cancelled"],
].flatMap(([status = "", meaning = ""]) => [".TP", `.B ${escaped(status)}`, escaped(meaning)]);

const environment = [
  [
    "MX_AGENT_HOME",
    "a directory for configuration, data and sockets, instead of those of the XDG specification",
  ],
  ["MX_AGENT_ROOM, MX_AGENT_AGENT", "the target where --room and --agent are not given"],
  ["NO_COLOR", "no colours on a terminal"],
].flatMap(([name = "", meaning = ""]) => [".TP", `.B ${escaped(name)}`, escaped(meaning)]);

function nounPage(noun: Command, version: string): ManPage {
  const name = `mx-agent-${noun.name()}`;
  const all = leaves(noun, [noun.name()]);
  const [only] = all;
  const body =
    all.length === 1 && only !== undefined && only.path.length === 1
      ? [".SH SYNOPSIS", synopsis(only), ".SH DESCRIPTION", ...about(only)]
      : [
          ".SH SYNOPSIS",
          ...all.flatMap((leaf, index) => (index === 0 ? [synopsis(leaf)] : [".br", synopsis(leaf)])),
          ".SH COMMANDS",
          ...all.flatMap((leaf) => [`.SS ${escaped(`mx-agent ${leaf.path.join(" ")}`)}`, ...about(leaf)]),
        ];
  return {
    name,
    text: page(name, version, noun.description(), [...body, ".SH SEE ALSO", ".BR mx\\-agent (1)"]),
  };
}

function page(name: string, version: string, about: string, body: readonly string[]): string {
  return `${[
    '.\\" Made by scripts/build.ts from the code; change it there.',
    `.TH ${escaped(name).toUpperCase()} 1 "" "mx\\-agent ${escaped(version)}" "mx\\-agent"`,
    // To the left and without hyphens, so that what is typed is found and copied whole.
    ".nh",
    ".ad l",
    ".SH NAME",
    `${escaped(name)} \\- ${escaped(about)}`,
    ...body,
  ].join("\n")}\n`;
}

function synopsis({ path, command }: Leaf): string {
  const required = command.options.filter(({ mandatory }) => mandatory).map(({ flags }) => flags);
  const words = command.registeredArguments.map((argument) => {
    const name = argument.variadic ? `${argument.name()}...` : argument.name();
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return `.B ${escaped(["mx-agent", ...path].join(" "))}\n${escaped([...required, "[options]", ...words].join(" "))}`;
}

function about({ command }: Leaf): string[] {
  const spec = specOf(command);
  const options = command.options.flatMap((option) => [
    ".TP",
    `.B ${escaped(option.flags)}`,
    optionText(option),
  ]);
  return [
    ...paragraphs(sentence(command.description())),
    ...(spec?.more === undefined ? [] : paragraphs(spec.more)),
    ...options,
    ...(spec === undefined
      ? []
      : [".PP", "Example:", ".PP", ".nf", escaped(`    mx-agent ${spec.example}`), ".fi"]),
  ];
}

function optionText({ description, defaultValue, mandatory }: Option): string {
  const preset: unknown = defaultValue;
  const after = mandatory ? " (must be given)" : typeof preset === "string" ? ` (default: ${preset})` : "";
  return escaped(`${description}${after}`);
}

/** Lines that are set in are something to type. */
function paragraphs(text: string): string[] {
  return [
    ".PP",
    ...text
      .split("\n")
      .flatMap((line) => (line.startsWith("  ") ? [".nf", escaped(line), ".fi"] : [escaped(line)])),
  ];
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** What roff would read as an escape, a request or a typographic hyphen or quote. */
function escaped(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("`", "\\(ga")
    .replaceAll("'", "\\(aq")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha")
    .replaceAll('"', "\\(dq")
    .replace(/^\./gm, "\\&.");
}
