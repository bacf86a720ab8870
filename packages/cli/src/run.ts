/** One command line from its words to its exit status. Everything that fails ends up here. */
import { type MxError, mxError, toMxError } from "@mx-agent/base";
import { Command, CommanderError, Help } from "commander";
import { type Cli, type ExitCode, isBrokenPipe, write } from "./cli.ts";
import { nouns } from "./nouns.ts";
import { refuseBytes } from "./parse/argv.ts";
import { errorJson, errorLines, ownLine } from "./render/errors.ts";
import { reflow } from "./render/screen.ts";
import { atHelpOf, verbsOf } from "./usage.ts";
import { exitOf, specOf } from "./verb.ts";
import { setVerbosity } from "./verbose.ts";

/** 128 + SIGPIPE: what a shell shows for a program whose reader went away. */
const BROKEN_PIPE: ExitCode = 141;
/** Whose exit status can be the remote command's own. */
const carriers = new Set(["exec", "call"]);

/** The first three commands that anybody types. */
const EXAMPLE = `
Example, on the first machine, on the second, and on the first again:
  mx-agent up
  mx-agent join LINK --allow-commands ls,git --cwd ~/project
  mx-agent exec --agent builder -- git status

\`mx-agent help COMMAND\` says more about each, with an example.`;

/** `argv` without node and the program file. Never throws. */
export async function run(argv: readonly string[], cli: Cli): Promise<ExitCode> {
  const words = meaning(argv);
  const failures: string[] = [];
  let program: Command | undefined;
  try {
    refuseBytes(argv);
    program = await assemble(words, cli, failures);
    await program.parseAsync(words, { from: "user" });
    return exitOf(cli);
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    if (isBrokenPipe(thrown)) return BROKEN_PIPE;
    return report(words, cli, atHelpOf(await translate(thrown, words, failures, program), program, words));
  }
}

/** `help NOUN VERB` is its --help, `version` is --version; help about what is no command is a mistake. */
function meaning(argv: readonly string[]): string[] {
  const [first, about] = argv;
  if (first === "version" && argv.length === 1) return ["--version"];
  if (first !== "help" && first !== undefined) return [...argv];
  if (about === undefined || about === "help" || about.startsWith("-")) return ["--help"];
  return nounOf([about]) === "" ? [about] : [...argv.slice(1), "--help"];
}

/** The top level, with the verbs of the noun that is called. */
async function assemble(words: readonly string[], cli: Cli, failures: string[]): Promise<Command> {
  const program = new Command("mx-agent")
    .description("Signed commands, tools and messages between machines, through Matrix rooms")
    .version(`mx-agent ${cli.version}`)
    .helpCommand(false)
    .exitOverride()
    .enablePositionalOptions()
    .configureHelp({ minWidthToWrap: 16, formatItem })
    .configureOutput({
      writeOut: (text) => cli.stdout.write(text),
      writeErr: (text) => failures.push(text),
      getOutHelpWidth: () => cli.stdout.columns ?? 80,
      getErrHelpWidth: () => cli.stderr.columns ?? 80,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  program.hook("preAction", (_, action) => setVerbosity(cli, Number(action.opts().verbose ?? 0)));
  const called = nouns.filter(({ name }) => name === words[0]);
  // The others are for help and for what is no command: making them takes longer than all that a command does.
  for (const noun of called.length > 0 ? called : nouns) {
    const command = new Command(noun.name).copyInheritedSettings(program).description(noun.summary);
    command.helpCommand(false);
    if (noun.group !== undefined) command.helpGroup(`${noun.group}:`);
    program.addCommand(command, { hidden: noun.hidden === true });
    if (called.length === 0) continue;
    (await noun.load())(command, cli);
    addNounExample(command);
  }
  return program.addHelpText("after", () => reflow(EXAMPLE, cli.stdout.columns ?? 80));
}

/** On a narrow terminal a description stands below its flag, not in what is left beside it. */
function formatItem(term: string, termWidth: number, description: string, helper: Help): string {
  const columns = helper.helpWidth ?? 80;
  if (description === "") return `  ${term}`;
  if (columns - termWidth - 4 >= 24)
    return Help.prototype.formatItem.call(helper, term, termWidth, description, helper);
  const wrapped = helper.boxWrap(description, columns - 6).replaceAll("\n", "\n      ");
  return `  ${term}\n      ${wrapped}`;
}

/** A noun of several verbs shows the example of its first. */
function addNounExample(noun: Command): void {
  const [first] = noun.commands;
  const example = first === undefined ? undefined : specOf(first)?.example;
  if (example !== undefined) noun.addHelpText("after", `\nExample:\n  mx-agent ${example}`);
}

async function translate(
  thrown: unknown,
  words: readonly string[],
  failures: readonly string[],
  program: Command | undefined,
): Promise<MxError> {
  if (!(thrown instanceof CommanderError)) return toMxError(thrown);
  // commander shows the whole help where a verb is missing.
  const said =
    thrown.code === "commander.help"
      ? `${["mx-agent", ...words].join(" ")}: which one? ${verbsOf(program, words).join(", ")}`
      : failures
          .join("")
          .trim()
          .replace(/^error: /, "")
          .replaceAll("\n", " ");
  const detail = (await meant(thrown, words, said)) ?? said;
  return mxError("MX_USAGE", { detail, command: "" });
}

/** A first word that is no command, and a verb or another program's name for one: that is meant, not what looks like it. */
async function meant(
  thrown: CommanderError,
  words: readonly string[],
  said: string,
): Promise<string | undefined> {
  const [word] = words;
  if (thrown.code !== "commander.unknownCommand" || word === undefined || nounOf(words) !== "")
    return undefined;
  const { meantBy } = await import("./misplaced.ts");
  const found = await meantBy(word);
  const bare = said.replace(/ \(Did you mean .*\)$/, "");
  return found.length === 0 ? undefined : `${bare} (Did you mean ${found.join(" or ")}?)`;
}

const nounOf = (words: readonly string[]) => nouns.find(({ name }) => name === words[0])?.name ?? "";

async function report(words: readonly string[], cli: Cli, error: MxError): Promise<ExitCode> {
  try {
    if (wantsJson(words)) await write(cli.stdout, errorJson(error));
    else await write(cli.stderr, errorLines(error));
    if (carriers.has(words[0] ?? "")) await write(cli.stderr, ownLine(error));
  } catch (failure) {
    if (!isBrokenPipe(failure)) throw failure;
  }
  return error.exitCode;
}

/** Of our own words: what follows -- belongs to the remote command. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  const own = end === -1 ? words : words.slice(0, end);
  return own.includes("--json") || own.includes("--json-stream");
}
