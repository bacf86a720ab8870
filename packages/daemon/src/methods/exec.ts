import { mxError } from "@mx-agent/base";
import type { CallContext, ExecInput, ExecResult, Handlers } from "@mx-agent/ipc";
import { z } from "zod";
import type { Daemon } from "../daemon.ts";
import type { Online } from "../online.ts";
import type { Pending, Settled } from "../request/pending.ts";
import { duration_ms, parser, target } from "./params.ts";
import { requireKind, waitFor } from "./waiting.ts";

/** How often the executing side is asked how far the input came, until it says so. */
const ASK_EVERY_MS = 3_000;

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
        return resultOf(pending, await waitFor(pending, online, context.signal, feed));
      },
    },
    "exec.resume": {
      parse: parser(resumeParams),
      parseInput: parser(execInput),
      handle: async ({ invocation_id, stdin }, context) => {
        const online = daemon.requireOnline();
        const request = requireKind(daemon.tables.requests, invocation_id, "exec");
        const pending = online.caller.attach(request, (item) => context.send(item));
        online.caller.replayOutcome(pending, true);
        const feed = stdin ? resumeStdin(pending, online, context) : undefined;
        return resultOf(pending, await waitFor(pending, online, context.signal, feed));
      },
    },
  };
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
