/** What lasts as long as a run does: when the daemon goes away in the middle, the next one is asked to go on with it. */
import { MxError, mxError } from "@mx-agent/base";
import type { MethodName } from "@mx-agent/ipc";
import type { IpcClient } from "@mx-agent/ipc/client";
import { type Cli, write } from "../cli.ts";
import { daemonFor } from "../daemon.ts";
import { sockets } from "../places.ts";

/** How long a caller whose daemon went away waits for it to come back. */
const COMEBACK_MS = 60_000;
const LOOK_MS = 100;

/** One call of one daemon. `cancelBy` says what the first signal does from now on; until then it leaves. */
export interface Attempt<T> {
  method: MethodName;
  run(daemon: IpcClient, cancelBy: (cancel: () => void) => void): Promise<T>;
}

export interface Lasting<T> {
  first: Attempt<T>;
  /** What the next daemon is asked, and every one after it. */
  again(invocation_id: string): Attempt<T>;
  /** The invocation, as soon as it has a name: without one there is nothing to go on with. */
  invocation_id(): string | undefined;
  /** No daemon came back, and the run goes on all the same. */
  notBack: (cli: Cli, invocation_id: string, seconds: number) => MxError;
}

/** For whoever waits for output. */
export const outputStopped: Lasting<unknown>["notBack"] = (_, invocation_id, seconds) =>
  mxError(
    "MX_STREAM_INCOMPLETE",
    { invocation_id, detail: `the daemon did not come back within ${seconds} s; the run goes on` },
    { hint: `\`mx-agent daemon start\`, and then \`mx-agent invocation logs -f ${invocation_id}\`` },
  );

/** For whoever waits for the end. */
export const endUnheard: Lasting<unknown>["notBack"] = (cli, invocation_id, seconds) =>
  mxError(
    "MX_DAEMON_UNREACHABLE",
    { socket: sockets(cli.env).agent, detail: `it did not come back within ${seconds} s; the run goes on` },
    { hint: `\`mx-agent daemon start\`, and then \`mx-agent invocation wait ${invocation_id}\`` },
  );

/**
 * The result, over as many restarts of the daemon as there are. A first signal does what the attempt said, a second
 * one leaves: MX_CANCELLED.
 */
export async function overRestarts<T>(cli: Cli, lasting: Lasting<T>): Promise<T> {
  const stopped = onSignals(cli);
  const run = async () => {
    let daemon: IpcClient | undefined;
    try {
      daemon = await daemonFor(cli, lasting.first.method);
      return await lasting.first.run(daemon, stopped.cancelBy);
    } catch (error) {
      const invocation_id = lasting.invocation_id();
      if (invocation_id === undefined || !isLost(error)) throw error;
      return takeUpAgain(cli, invocation_id, lasting, stopped);
    } finally {
      daemon?.close();
    }
  };
  try {
    return await Promise.race([run(), stopped.left]);
  } finally {
    stopped.off();
  }
}

/** Waits for the daemon to come back and asks it, as often as it goes away. */
async function takeUpAgain<T>(
  cli: Cli,
  invocation_id: string,
  lasting: Lasting<T>,
  stopped: Stopped,
): Promise<T> {
  await write(cli.stderr, `the daemon went away; waiting for it to go on with ${invocation_id}\n`);
  let found: unknown;
  for (let waited = 0; waited < COMEBACK_MS && !stopped.isOver(); waited += LOOK_MS) {
    let back: number | undefined;
    let daemon: IpcClient | undefined;
    try {
      const attempt = lasting.again(invocation_id);
      daemon = await daemonFor(cli, attempt.method);
      back = performance.now();
      return await attempt.run(daemon, stopped.cancelBy);
    } catch (error) {
      if (!isLost(error) && !isLoggedOut(error)) throw error;
      found = isUnreachable(error) ? undefined : error;
      // It was there for a while, and went away once more: that wait has a time of its own.
      if (back !== undefined && isLost(error) && performance.now() - back > LOOK_MS) waited = 0;
    } finally {
      daemon?.close();
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  // One that is there, and has no session, says why by itself.
  throw found ?? lasting.notBack(cli, invocation_id, COMEBACK_MS / 1000);
}

/** A daemon that comes back and does not know it was killed before the request was on record. */
export function neverAsked(error: unknown): unknown {
  if (!(error instanceof MxError) || error.code !== "MX_NOT_FOUND") return error;
  const hint =
    "the daemon went away before it was on record: nothing was sent, and nothing ran; try it again";
  return new MxError({ ...error.toJSON(), hint }, error);
}

interface Stopped {
  /** Rejects when nothing is waited for any more. */
  left: Promise<never>;
  isOver(): boolean;
  /** What the first signal does from now on; at once, where it has come already. */
  cancelBy(cancel: () => void): void;
  off(): void;
}

function onSignals(cli: Cli): Stopped {
  const left = Promise.withResolvers<never>();
  left.promise.catch(() => {});
  const leave = () => left.reject(mxError("MX_CANCELLED"));
  let cancel: (() => void) | undefined;
  let signals = 0;
  let over = false;
  const off = cli.onSignal(() => {
    signals++;
    if (signals > 1 || cancel === undefined) return leave();
    if (cli.stderr.isTTY) cli.stderr.write("cancelling; Ctrl-C again leaves at once\n");
    cancel();
  });
  return {
    left: left.promise,
    isOver: () => over,
    cancelBy: (other) => {
      cancel = other;
      if (signals > 0) cancel();
    },
    off: () => {
      over = true;
      off();
    },
  };
}

/** Somebody may log in again meanwhile. */
function isLoggedOut(error: unknown): boolean {
  return error instanceof MxError && error.code === "MX_NOT_LOGGED_IN";
}

/** It was killed, or it stopped in an orderly way. */
function isLost(error: unknown): boolean {
  return isUnreachable(error) || (error instanceof MxError && error.code === "MX_NOT_RUNNING");
}

const isUnreachable = (error: unknown) => error instanceof MxError && error.code === "MX_DAEMON_UNREACHABLE";
