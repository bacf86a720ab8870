import { mxError } from "@mx-agent/base";
import { type Cli, type ExitCode, write } from "../cli.ts";
import { endingOf } from "../exec/outcome.ts";
import { announced, collectedOutput, type OutputSink, rawOutput, streamedOutput } from "../exec/output.ts";
import { refusalError } from "../exec/refusal.ts";
import { runExec } from "../exec/run.ts";
import { parseDuration } from "../parse/duration.ts";
import { parseEnv, refuseSecrets } from "../parse/env.ts";
import { AGENT, many, ROOM } from "../parse/options.ts";
import { targetOf } from "../parse/target.ts";
import { defaults } from "../places.ts";
import { shellWords } from "../render/command.ts";
import { ownLine } from "../render/errors.ts";
import { type Define, describe, setExit } from "../verb.ts";

interface ExecFlags {
  room?: string;
  agent?: string;
  cwd?: string;
  env: string[];
  timeout?: string;
  stdin: string;
  detach?: boolean;
  json?: boolean;
  jsonStream?: boolean;
}

export const define: Define = (command, cli) => {
  describe(command, {
    summary: "run a command on another agent's machine, with live output",
    example: "exec --room build-farm --agent builder -- npm test",
    more:
      "The exit status is the command's own, 128 + n when a signal ended it. When it is ours, the last\n" +
      "line of stderr is `mx-agent: MX_...`: 64 usage, 69 no daemon or no answer, 74 output incomplete,\n" +
      "77 refused, 124 timed out, 126 could not be started, 127 not found, 130 cancelled.\n" +
      "Ctrl-C ends the command there and waits for it; a second one leaves at once.\n" +
      "--json gives one object: `result`, `stdout` and `stderr` ({encoding, data}), and `error` beside them\n" +
      "where the status is ours; where nothing ran, `error` alone.",
  })
    .argument("[command...]", "program and arguments, after --")
    .passThroughOptions()
    .option(...ROOM)
    .option(...AGENT)
    .option("--cwd <directory>", "where it runs, on that machine")
    .option("--env <name=value>", "may be given several times", many, [])
    .option("--timeout <duration>", "ends it after 30s, 5m, 2h")
    .option("--stdin <mode>", "auto: send ours; none: it reads nothing", "auto")
    .option("--detach", "print the invocation id and leave it running")
    .option("--json-stream", "one line of JSON for each piece of output, and for the end")
    .action(async (words: string[], flags: ExecFlags) => setExit(cli, await exec(cli, words, flags)));
};

async function exec(cli: Cli, words: string[], flags: ExecFlags): Promise<ExitCode> {
  if (flags.json && flags.jsonStream) throw usage("--json and --json-stream: one of them");
  const target = targetOf(flags, await defaults(cli.env));
  if (words[0] === undefined || words[0] === "") throw usage("which command? give it after --");
  if (flags.stdin !== "auto" && flags.stdin !== "none")
    throw usage(`--stdin ${flags.stdin}: it can be auto or none`);
  const env = parseEnv(flags.env);
  refuseSecrets(env);
  const detach = flags.detach === true;
  const sink = announced(cli, `waiting for ${target.agent}`, sinkOf(cli, flags));
  const result = await runExec(
    cli,
    {
      ...target,
      command: words,
      cwd: flags.cwd ?? null,
      env,
      timeout_ms: flags.timeout === undefined ? null : parseDuration(flags.timeout, "--timeout"),
      stdin: flags.stdin === "auto" && !detach,
      detach,
    },
    sink,
  ).finally(sink.stop);
  if (result.type === "rejected") throw refusalError(result, target, shellWords(words));
  const { exit, error } =
    result.type === "finished"
      ? endingOf(result.result, result.invocation_id, words[0], target)
      : { exit: 0, error: null };
  await sink.end(result, error);
  if (error !== null) await write(cli.stderr, ownLine(error));
  return exit;
}

function sinkOf(cli: Cli, flags: ExecFlags): OutputSink {
  if (flags.jsonStream) return streamedOutput(cli);
  return flags.json ? collectedOutput(cli) : rawOutput(cli);
}

const usage = (detail: string) => mxError("MX_USAGE", { detail, command: "exec" });
