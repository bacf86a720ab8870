import { type ErrorCode, MxError, mxError } from "@mx-agent/base";
import type { CallContext, ExecResult, Handlers } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import type { Online } from "../online.ts";
import type { Pending, Settled } from "../request/pending.ts";
import { duration_ms, parser, target } from "./params.ts";

/** How long a caller who cancelled waits for a sign of the run. */
const GIVE_UP_MS = 2_000;

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

export function execMethods(daemon: Daemon): Pick<Handlers, "exec.run"> {
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
        return waitFor(pending, online, context);
      },
    },
  };
}

/** Waits for the outcome; the caller's input goes to the run, and his leaving cancels it. */
export async function waitFor(
  pending: Pending,
  online: Online,
  context: Pick<CallContext<"exec.run">, "signal" | "input">,
): Promise<ExecResult> {
  const cancel = () => {
    if (isCancel(context.signal)) online.caller.cancel(pending.request, "the caller went away");
  };
  if (context.signal.aborted) cancel();
  context.signal.addEventListener("abort", cancel, { once: true });
  try {
    void feed(pending, context).catch(() => {});
    return resultOf(
      pending,
      await Promise.race([
        online.caller.outcome(pending),
        untilClosing(context.signal),
        untilGivenUp(context.signal, pending),
      ]),
    );
  } catch (error) {
    if (!(error instanceof MxError && LEAVES_IT.has(error.code)))
      online.caller.cancel(pending.request, "nobody waits for it any more");
    throw error;
  } finally {
    context.signal.removeEventListener("abort", cancel);
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

async function feed(pending: Pending, context: Pick<CallContext<"exec.run">, "input">): Promise<void> {
  // Which device executes is known once it has begun; input waits for that, and then for the child.
  await pending.begun;
  for await (const item of context.input) {
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
