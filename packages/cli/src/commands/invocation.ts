import { mxError } from "@mx-agent/base";
import type { ExecResult, Result } from "@mx-agent/ipc";
import { answer, type JsonFlag } from "../answer.ts";
import { type Cli, type ExitCode, write } from "../cli.ts";
import { ask } from "../daemon.ts";
import { type Attempt, endUnheard, type Lasting, outputStopped, overRestarts } from "../exec/lasting.ts";
import { endingOf, missingOutput } from "../exec/outcome.ts";
import { Continuation, errorField, rawOutput, streamedOutput } from "../exec/output.ts";
import { refusalError } from "../exec/refusal.ts";
import { parseCount } from "../parse/count.ts";
import { parseDuration } from "../parse/duration.ts";
import { parseTime } from "../parse/time.ts";
import { withProgress } from "../progress.ts";
import { errorLines, ownLine } from "../render/errors.ts";
import { renderCancelled, renderEnd, renderInvocation, renderInvocations } from "../render/invocation.ts";
import { bytes } from "../render/time.ts";
import { type Define, setExit, verb } from "../verb.ts";

export const define: Define = (noun, cli) => {
  verb(noun, {
    name: "list",
    summary: "what was asked of others and what others asked of this machine",
    example: "invocation list --running",
  })
    .option("--side <side>", "caller: asked from here; executor: run here")
    .option("--running", "what has not ended")
    .option("--limit <count>", "the newest so many", "50")
    .action(async (flags: JsonFlag & { side?: string; running?: boolean; limit: string }) => {
      const found = await ask(cli, "invocation.list", {
        side: sideOf(flags.side),
        running: flags.running === true,
        limit: parseCount(flags.limit, "--limit", 1),
      });
      await answer(cli, flags, found, renderInvocations);
    });

  verb(noun, {
    name: "show <invocation>",
    summary: "one invocation in full",
    example: "invocation show inv_01JZ3V5Q8K9M2N4P6R7S8T9V0W",
  }).action(async (invocation_id: string, flags: JsonFlag) =>
    answer(cli, flags, await ask(cli, "invocation.show", { invocation_id }), renderInvocation),
  );

  verb(noun, {
    name: "cancel <invocation>",
    summary: "end an invocation, with everything that it started",
    example: "invocation cancel inv_01JZ3V5Q8K9M2N4P6R7S8T9V0W",
  }).action(async (invocation_id: string, flags: JsonFlag) => {
    const method = (await isAskedFromHere(cli, invocation_id)) ? "invocation.cancel" : "run.cancel";
    const done = await ask(cli, method, { invocation_id });
    await answer(cli, flags, done, renderCancelled);
  });

  verb(noun, {
    name: "wait <invocation>",
    summary: "wait until an invocation has ended",
    example: "invocation wait inv_01JZ3V5Q8K9M2N4P6R7S8T9V0W",
    more:
      "The exit status is the command's own, or ours where `exec` would give one of ours: 77 for what was refused,\n" +
      "130 for what was cancelled. --json gives what `exec --json` gives, without the output.",
  }).action(async (invocation_id: string, flags: JsonFlag) =>
    setExit(cli, await waitForEnd(cli, invocation_id, flags)),
  );

  verb(noun, {
    name: "logs <invocation>",
    summary: "the output of an invocation, from its beginning",
    example: "invocation logs -f inv_01JZ3V5Q8K9M2N4P6R7S8T9V0W",
    more:
      "Since when is by the clock of the machine that ran it, and exact to a piece of output. With --json one line for\n" +
      "each piece of output, and for the end. 74: part of the output did not come.",
  })
    .option("-f, --follow", "go on until it has ended")
    .option("--since <when>", "leave out what is older: 10m, or a time as 2026-01-31T12:00:00Z")
    .action(async (invocation_id: string, flags: LogsFlags) =>
      setExit(cli, await showLogs(cli, invocation_id, flags)),
    );

  verb(noun, {
    name: "prune",
    summary: "forget ended invocations and their output",
    example: "invocation prune --older-than 7d",
  })
    .option("--older-than <duration>", "that ended longer ago than this; 0s for all that ended", "7d")
    .action(async (flags: JsonFlag & { olderThan: string }) => {
      const older_than_ms = parseDuration(flags.olderThan, "--older-than", "zero");
      const done = await ask(cli, "invocation.prune", { older_than_ms });
      await answer(cli, flags, done, ({ pruned }) => `${pruned} forgotten, ${bytes(done.bytes)} freed`);
    });
};

/** Ends as `exec` would have ended. */
async function waitForEnd(cli: Cli, invocation_id: string, flags: JsonFlag): Promise<ExitCode> {
  const { agent, room_id: room, summary } = await ask(cli, "invocation.show", { invocation_id });
  const waits: Attempt<ExecResult> = {
    method: "invocation.wait",
    run: (daemon) => daemon.call("invocation.wait", { invocation_id }).result,
  };
  const ended = overRestarts(cli, lastingOf(invocation_id, waits, endUnheard));
  const end = await withProgress(cli, "waiting: invocation wait", ended);
  if (end.type === "rejected") throw refusalError(end, { room, agent }, summary);
  const { exit, error } =
    end.type === "finished"
      ? // Whether all of its output came is for those who take it.
        endingOf({ ...end.result, complete: null }, invocation_id, summary, { room, agent })
      : { exit: 0, error: null };
  await answer<ExecResult>(cli, flags, { ...end, ...errorField(error) }, renderEnd);
  if (error === null) return exit;
  if (!flags.json) await write(cli.stderr, errorLines(error));
  await write(cli.stderr, ownLine(error));
  return exit;
}

type LogsFlags = JsonFlag & { follow?: boolean; since?: string };

/** However the command ended: 74 where part of its output did not come, otherwise 0. */
async function showLogs(cli: Cli, invocation_id: string, flags: LogsFlags): Promise<ExitCode> {
  const since_ts = flags.since === undefined ? null : parseTime(flags.since, "--since");
  const params = { invocation_id, follow: flags.follow === true, since_ts };
  const output = new Continuation(flags.json ? streamedOutput(cli) : rawOutput(cli));
  const method = (await isAskedFromHere(cli, invocation_id)) ? "invocation.logs" : "run.logs";
  const reads: Attempt<Result<"invocation.logs">> = {
    method,
    run: async (daemon) => {
      output.rewind();
      const call = daemon.call(method, params);
      for await (const item of call.output) await output.item(item);
      return call.result;
    },
  };
  const end = await overRestarts(cli, lastingOf(invocation_id, reads, outputStopped));
  const error = end.result?.complete === false ? missingOutput(invocation_id) : null;
  if (flags.json) await write(cli.stdout, `${JSON.stringify({ ...end, ...errorField(error) })}\n`);
  if (error === null) return 0;
  if (!flags.json) await write(cli.stderr, errorLines(error));
  await write(cli.stderr, ownLine(error));
  return error.exitCode;
}

/** The same question again, of each daemon. */
const lastingOf = <T>(
  invocation_id: string,
  attempt: Attempt<T>,
  notBack: Lasting<T>["notBack"],
): Lasting<T> => ({
  first: attempt,
  again: () => attempt,
  invocation_id: () => invocation_id,
  notBack,
});

/** What runs here for others is asked for at the operator's socket. */
async function isAskedFromHere(cli: Cli, invocation_id: string): Promise<boolean> {
  return (await ask(cli, "invocation.show", { invocation_id })).side === "caller";
}

function sideOf(side: string | undefined): "caller" | "executor" | null {
  if (side === undefined || side === "caller" || side === "executor") return side ?? null;
  throw mxError("MX_USAGE", {
    detail: `--side ${side}: it can be caller or executor`,
    command: "invocation list",
  });
}
