import { type ErrorCode, MxError, mxError } from "@mx-agent/base";
import type { CallContext, ExecInput, ExecResult, Handlers } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import type { Online } from "../online.ts";
import type { Pending, Settled } from "../request/pending.ts";
import { duration_ms, parser, target } from "./params.ts";

/** How long a caller who cancelled waits for a sign of the run. */
const GIVE_UP_MS = 2_000;
/** How often the executing side is asked how far the input came, until it says so. */
const ASK_EVERY_MS = 3_000;

/** This daemon closes, and the next one goes on; or the request never left. */
const LEAVES_IT = new Set<ErrorCode>(["MX_NOT_RUNNING", "MX_HOMESERVER_ERROR", "MX_NOT_FOUND"]);

const execParams = target.extend({
  command: z.array(z.string()).min(1, "no command was given"),
  cwd: z.string().min(1).nullable(),
  env: z.record(z.string(), z.string()),
  timeout_ms: duration_ms.nullable(),
  stdin: z.boolean(),
  detach: z.boolean(),
});

const execInput = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("stdin"), data: z.base64() }),
  z.strictObject({ type: z.literal("eof") }),
]);

const resumeParams = z.strictObject({ invocation_id: z.string().min(1).max(255), stdin: z.boolean() });

export function execMethods(daemon: Daemon): Pick<Handlers, "exec.run" | "exec.resume"> {
  return {
    "exec.run": {
      parse: parser(execParams),
      parseInput: parser(execInput),
      handle: async (params, context) => {
        const online = daemon.requireOnline();
        if (params.command[0] === "")
          throw mxError("MX_USAGE", { detail: "the command is empty", command: "exec" });
        const resolved = await online.target(params);
        const pending = online.caller.exec(params, resolved, (item) => context.send(item));
        const { invocation_id } = pending.request;
        if (params.detach) {
          online.caller.release(pending);
          return { type: "detached", invocation_id };
        }
        const feed = params.stdin ? feedStdin(pending, online, context) : undefined;
        return waitFor(pending, online, context.signal, feed);
      },
    },
    "exec.resume": {
      parse: parser(resumeParams),
      parseInput: parser(execInput),
      handle: async ({ invocation_id, stdin }, context) => {
        const online = daemon.requireOnline();
        const request = daemon.tables.requests.get(invocation_id);
        if (request?.kind !== "exec")
          throw mxError("MX_NOT_FOUND", {
            what: "invocation",
            name: invocation_id,
            hint: "`mx-agent invocation list`",
          });
        const pending = online.caller.attach(request, (item) => context.send(item));
        online.caller.replayOutcome(pending, true);
        const feed = stdin ? resumeStdin(pending, online, context) : undefined;
        return waitFor(pending, online, context.signal, feed);
      },
    },
  };
}

/** Waits for the outcome; the caller's input goes to the run, and his leaving cancels it. */
export async function waitFor(
  pending: Pending,
  online: Online,
  signal: AbortSignal,
  feed: Promise<void> | undefined,
): Promise<ExecResult> {
  const cancel = () => {
    if (isCancel(signal)) online.caller.cancel(pending.request, "the caller went away");
  };
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  // Input that cannot go on ends the wait; that it has ended does not.
  const fed = Promise.withResolvers<never>();
  feed?.catch((error: unknown) => {
    if (!signal.aborted) fed.reject(error);
  });
  try {
    return resultOf(
      pending,
      await Promise.race([
        online.caller.outcome(pending),
        untilClosing(signal),
        untilGivenUp(signal, pending),
        fed.promise,
      ]),
    );
  } catch (error) {
    if (!(error instanceof MxError && LEAVES_IT.has(error.code)))
      online.caller.cancel(pending.request, "nobody waits for it any more");
    throw error;
  } finally {
    signal.removeEventListener("abort", cancel);
    online.caller.release(pending);
  }
}

/** Whether the client cancelled or went away; when it is this daemon that closes, the run goes on. */
export function isCancel(signal: AbortSignal): boolean {
  return !(signal.reason instanceof MxError && signal.reason.code === "MX_NOT_RUNNING");
}

/** Rejects when this daemon closes: the client comes back and asks the next one. */
export function untilClosing(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => {
      if (!isCancel(signal)) reject(signal.reason);
    };
    signal.addEventListener("abort", end, { once: true });
  });
}

/**
 * Rejects with MX_CANCELLED when the client cancelled and nothing is heard of the run: a machine that is away does not
 * keep him waiting. The cancel is sent all the same, right behind the request.
 */
function untilGivenUp(signal: AbortSignal, pending: Pending): Promise<never> {
  return new Promise((_, reject) => {
    const giveUp = () => {
      if (!pending.started) reject(mxError("MX_CANCELLED"));
    };
    const begin = () => {
      if (isCancel(signal)) setTimeout(giveUp, GIVE_UP_MS).unref();
    };
    signal.addEventListener("abort", begin, { once: true });
  });
}

async function feedStdin(
  pending: Pending,
  online: Online,
  { input }: Pick<CallContext<"exec.run">, "input">,
): Promise<void> {
  // Which device executes is known once it has begun; input waits for that, and then for the child.
  await pending.begun;
  pending.stdin.keepIn(online.caller.stdinIndex(pending.request));
  await take(pending, input);
}

async function resumeStdin(
  pending: Pending,
  online: Online,
  { input, send }: Pick<CallContext<"exec.resume">, "input" | "send">,
): Promise<void> {
  const asking = setInterval(() => online.caller.ask(pending.request), ASK_EVERY_MS).unref();
  const index = online.caller.stdinIndex(pending.request);
  const offset = await pending.stdin.goOn(index).finally(() => clearInterval(asking));
  if (pending.stdin.closed) return;
  if (offset === null)
    throw mxError("MX_STREAM_INCOMPLETE", {
      invocation_id: pending.request.invocation_id,
      detail: "where its input stood got lost",
    });
  await send({ type: "stdin", offset });
  await take(pending, input);
}

async function take(pending: Pending, input: AsyncIterable<ExecInput>): Promise<void> {
  for await (const item of input) {
    if (item.type === "stdin") await pending.stdin.write(Buffer.from(item.data, "base64"));
    else pending.stdin.end();
  }
}

export function resultOf(pending: Pending, settled: Settled): ExecResult {
  const { invocation_id, request_id } = pending.request;
  if (settled.type === "finished") return { type: "finished", invocation_id, result: settled.result };
  if (settled.type === "rejected") return { ...settled, invocation_id, request_id };
  throw mxError("MX_PROTOCOL", {
    detail: "a response to a call arrived for a command",
    hint: "upgrade the executing side",
  });
}
