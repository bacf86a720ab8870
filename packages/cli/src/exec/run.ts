/** One `exec.run` from the request to its end, over a restart of the daemon in between. */
import { MxError, mxError } from "@mx-agent/base";
import type { ActiveCall, ExecParams, ExecResult } from "@mx-agent/ipc";
import type { IpcClient } from "@mx-agent/ipc/client";
import { type Cli, write } from "../cli.ts";
import { daemonFor } from "../daemon.ts";
import { Continuation, type OutputSink } from "./output.ts";
import { StdinFeed } from "./stdin.ts";

/** How long a caller whose daemon went away waits for it to come back. */
const COMEBACK_MS = 60_000;
const LOOK_MS = 100;

/** The result of the run, after all of its output. The first signal cancels it, the second leaves. */
export async function runExec(cli: Cli, params: ExecParams, sink: OutputSink): Promise<ExecResult> {
  const output = new Continuation(sink);
  const daemon = await daemonFor(cli, "exec.run");
  const call = daemon.call("exec.run", params);
  const stopped = cancelOnSignal(cli, call);
  const stdin = params.stdin ? new StdinFeed(cli) : null;
  try {
    return await Promise.race([follow(call, stdin, output), stopped.twice]);
  } catch (error) {
    const { requested } = output;
    if (requested === undefined || !isLost(error)) throw error;
    const again = takeUpAgain(cli, requested.invocation_id, stdin, output, stopped);
    return await Promise.race([again, stopped.twice]);
  } finally {
    stopped.off();
    daemon.close();
  }
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

/**
 * Waits for the daemon to come back and asks for the output again, as often as it goes away; what was shown is not
 * shown twice. MX_STREAM_INCOMPLETE when it does not come back.
 */
async function takeUpAgain(
  cli: Cli,
  invocation_id: string,
  stdin: StdinFeed | null,
  output: Continuation,
  stopped: Stopped,
): Promise<ExecResult> {
  await write(cli.stderr, `the daemon went away; waiting for it to go on with ${invocation_id}\n`);
  for (let waited = 0; waited < COMEBACK_MS; waited += LOOK_MS) {
    let back: number | undefined;
    try {
      const daemon = await daemonFor(cli, "exec.resume");
      back = performance.now();
      return await goOn(daemon, invocation_id, stdin, output, stopped);
    } catch (error) {
      if (!isLost(error) && !isLoggedOut(error)) throw error;
      // It was there for a while, and went away once more: that wait has a time of its own.
      if (back !== undefined && isLost(error) && performance.now() - back > LOOK_MS) waited = 0;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw mxError("MX_STREAM_INCOMPLETE", {
    invocation_id,
    detail: `the daemon did not come back within ${COMEBACK_MS / 1000} s; the run goes on`,
  });
}

async function goOn(
  daemon: IpcClient,
  invocation_id: string,
  stdin: StdinFeed | null,
  output: Continuation,
  stopped: Stopped,
): Promise<ExecResult> {
  try {
    output.rewind();
    const call = daemon.call("exec.resume", { invocation_id, stdin: stdin !== null });
    stopped.cancelBy(() => call.cancel());
    return await follow(call, stdin, output);
  } finally {
    daemon.close();
  }
}

interface Stopped {
  /** Rejects at the second signal. */
  twice: Promise<never>;
  /** What the first signal does from now on; at once, where it has come already. */
  cancelBy(cancel: () => void): void;
  off(): void;
}

function cancelOnSignal(cli: Cli, call: ActiveCall<"exec.run">): Stopped {
  const twice = Promise.withResolvers<never>();
  twice.promise.catch(() => {});
  let cancel = () => call.cancel();
  let signals = 0;
  const off = cli.onSignal(() => {
    signals++;
    if (signals > 1) return twice.reject(mxError("MX_CANCELLED"));
    if (cli.stderr.isTTY) cli.stderr.write("cancelling; Ctrl-C again leaves at once\n");
    cancel();
  });
  return {
    twice: twice.promise,
    cancelBy: (other) => {
      cancel = other;
      if (signals > 0) cancel();
    },
    off,
  };
}

/** Somebody may log in again meanwhile. */
function isLoggedOut(error: unknown): boolean {
  return error instanceof MxError && error.code === "MX_NOT_LOGGED_IN";
}

/** It was killed, or it stopped in an orderly way. */
function isLost(error: unknown): boolean {
  return (
    error instanceof MxError && (error.code === "MX_DAEMON_UNREACHABLE" || error.code === "MX_NOT_RUNNING")
  );
}
