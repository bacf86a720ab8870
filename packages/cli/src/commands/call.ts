import { readFile } from "node:fs/promises";
import { mxError } from "@mx-agent/base";
import type { CallResult, Target } from "@mx-agent/ipc";
import { type Cli, type ExitCode, write } from "../cli.ts";
import { runCall } from "../exec/call.ts";
import { type Ending, endingOf, type InvocationEnd, isOutcome } from "../exec/outcome.ts";
import { refusalError } from "../exec/refusal.ts";
import { parseDuration } from "../parse/duration.ts";
import { AGENT, many, ROOM } from "../parse/options.ts";
import { targetOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { withProgress } from "../progress.ts";
import { readLines } from "../prompt.ts";
import { errorLines, ownLine } from "../render/errors.ts";
import { type Define, describe, setExit } from "../verb.ts";

interface CallFlags {
  room?: string;
  agent?: string;
  tool: string;
  arg: string[];
  input?: string;
  timeout?: string;
  json?: boolean;
}

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "call a tool that another agent's operator has defined",
    example: "call --room build-farm --agent builder --tool run_tests@1 --arg package=base",
    more:
      "The exit status is the tool's own. When it is ours, the last line of stderr is `mx-agent: MX_...`.\n" +
      "Ctrl-C ends the tool there and waits for it; a second one leaves at once.\n" +
      "--arg gives strings; anything else goes into a JSON object by --input. With --json, `error` is an object\n" +
      "where the status is ours, and the tool's own words where it is not.",
  })
    .requiredOption("--tool <name>", "name, or name@version")
    .option(...ROOM)
    .option(...AGENT)
    .option("--arg <name=value>", "may be given several times", many, [])
    .option("--input <file>", "a file with a JSON object; - for stdin")
    .option("--timeout <duration>", "ends it after 30s, 5m, 2h")
    .action(async (flags: CallFlags) => setExit(cli, await callTool(cli, flags)));
};

async function callTool(cli: Cli, flags: CallFlags): Promise<ExitCode> {
  const target = targetOf(flags, await defaults(cli.env));
  const args = { ...(await inputOf(cli, flags.input)), ...pairsOf(flags.arg) };
  const timeout_ms = flags.timeout === undefined ? null : parseDuration(flags.timeout, "--timeout");
  const params = { ...target, tool: flags.tool, args, timeout_ms };
  const result = await withProgress(cli, `waiting for ${target.agent}`, runCall(cli, params));
  return conclude(cli, result, target, flags);
}

async function conclude(cli: Cli, result: CallResult, target: Target, flags: CallFlags): Promise<ExitCode> {
  const what = `the tool ${flags.tool}`;
  if (result.type === "rejected") throw refusalError(result, target, what);
  const run = toolRun(result.result);
  if (!result.ok && run === undefined)
    throw refusalError(
      { ...result, reason: result.code ?? "failed", detail: result.error, origin: "remote" },
      target,
      what,
    );
  const ending = run && endingOfRun(run, result.invocation_id, what, target);
  const ours = ending?.error ? { error: ending.error.toJSON() } : {};
  if (flags.json) await write(cli.stdout, `${JSON.stringify({ ...result, ...ours })}\n`);
  else if (run === undefined) await write(cli.stdout, `${asText(result.result)}\n`);
  else {
    await write(cli.stderr, run.stderr);
    await write(cli.stdout, run.stdout);
  }
  if (ending === undefined) return 0;
  const { exit, error } = ending;
  if (error === null) return exit;
  if (!flags.json) await write(cli.stderr, errorLines(error));
  await write(cli.stderr, ownLine(error));
  return exit;
}

/** A tool that is a command: how it ended and what it wrote. */
interface ToolRun {
  end: InvocationEnd;
  stdout: string;
  stderr: string;
  truncated: boolean;
}

/** As a command's. What an answer has no room for is not there to be asked for again. */
function endingOfRun(
  { end, truncated }: ToolRun,
  invocation_id: string,
  what: string,
  target: Target,
): Ending {
  const ending = endingOf(end, invocation_id, what, target);
  if (!truncated || ending.error !== null) return ending;
  const detail = "the tool wrote more than an answer has room for";
  const hint = "have it write less, or into a file; output of any length comes by `mx-agent exec`";
  const error = mxError("MX_STREAM_INCOMPLETE", { invocation_id, detail }, { hint, origin: "remote" });
  return { exit: error.exitCode, error };
}

function toolRun(result: unknown): ToolRun | undefined {
  if (typeof result !== "object" || result === null) return undefined;
  const { exit_code = null, outcome, signal = null, duration_ms, ...rest }: ToolFields = result;
  const { stdout, stderr, truncated } = rest;
  if (!isOutcome(outcome) || !(exit_code === null || typeof exit_code === "number")) return undefined;
  return {
    end: {
      outcome,
      exit_code,
      signal: typeof signal === "string" ? signal : null,
      duration_ms: typeof duration_ms === "number" ? duration_ms : 0,
      // Of an answer it says that this had no room.
      truncated: false,
      complete: null,
    },
    stdout: typeof stdout === "string" ? stdout : "",
    stderr: typeof stderr === "string" ? stderr : "",
    truncated: truncated === true,
  };
}

type ToolFields = Partial<
  Record<"exit_code" | "outcome" | "signal" | "duration_ms" | "stdout" | "stderr" | "truncated", unknown>
>;

const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function pairsOf(pairs: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) throw mxError("MX_USAGE", { detail: `--arg ${pair}: write NAME=VALUE`, command: "call" });
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

async function inputOf(cli: Cli, file: string | undefined): Promise<Record<string, unknown>> {
  if (file === undefined) return {};
  const hint = "give a JSON object";
  let value: unknown;
  try {
    value = JSON.parse(file === "-" ? (await readLines(cli)).join("\n") : await readFile(file, "utf8"));
  } catch (error) {
    const detail = `--input ${file}: ${error instanceof Error ? error.message : error}`;
    throw mxError("MX_BAD_INPUT", { detail, hint }, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw mxError("MX_BAD_INPUT", { detail: `--input ${file}: not a JSON object`, hint });
  return { ...value };
}
