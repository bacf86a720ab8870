/** One `exec.run` from the request to its end, over a restart of the daemon in between. */
import type { ActiveCall, ExecParams, ExecResult } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";
import { type Attempt, neverAsked, outputStopped, overRestarts } from "./lasting.ts";
import { Continuation, type OutputSink } from "./output.ts";
import { StdinFeed } from "./stdin.ts";

/** The result of the run, after all of its output. The first signal cancels it, the second leaves. */
export async function runExec(cli: Cli, params: ExecParams, sink: OutputSink): Promise<ExecResult> {
  const output = new Continuation(sink);
  const stdin = params.stdin ? new StdinFeed(cli) : null;
  return overRestarts(cli, {
    first: {
      method: "exec.run",
      run: (daemon, cancelBy) => {
        const call = daemon.call("exec.run", params);
        cancelBy(() => call.cancel());
        return follow(call, stdin, output);
      },
    },
    again: (invocation_id) =>
      params.detach ? detached(invocation_id) : resumed(invocation_id, stdin, output),
    invocation_id: () => output.requested?.invocation_id,
    notBack: outputStopped,
  });
}

async function follow(
  call: ActiveCall<"exec.run"> | ActiveCall<"exec.resume">,
  stdin: StdinFeed | null,
  output: Continuation,
): Promise<ExecResult> {
  // Where stdin cannot be read, and where nobody reads the output, leaving the call ends the run.
  const stdinFailed = Promise.withResolvers<never>();
  const feed = (from: number) =>
    stdin?.sendTo(call, from, output.requested?.invocation_id ?? "").catch(stdinFailed.reject);
  const reading = (async () => {
    for await (const item of call.output)
      if (item.type === "stdin") void feed(item.offset);
      else await output.item(item);
    return call.result;
  })();
  if (output.requested === undefined) void feed(0);
  return Promise.race([reading, stdinFailed.promise]);
}

/** The output comes again from its beginning; what was shown is not shown twice. */
function resumed(invocation_id: string, stdin: StdinFeed | null, output: Continuation): Attempt<ExecResult> {
  return {
    method: "exec.resume",
    run: async (daemon, cancelBy) => {
      output.rewind();
      const call = daemon.call("exec.resume", { invocation_id, stdin: stdin !== null });
      cancelBy(() => call.cancel());
      try {
        return await follow(call, stdin, output);
      } catch (error) {
        throw neverAsked(error);
      }
    },
  };
}

/** Of what is left running it is enough that the next daemon has it on record. */
function detached(invocation_id: string): Attempt<ExecResult> {
  return {
    method: "invocation.show",
    run: async (daemon) => {
      try {
        await daemon.call("invocation.show", { invocation_id }).result;
      } catch (error) {
        throw neverAsked(error);
      }
      return { type: "detached", invocation_id };
    },
  };
}
