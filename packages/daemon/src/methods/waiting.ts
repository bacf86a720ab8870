/** The wait for an outcome, for as long as this daemon is there and somebody waits. */
import { type ErrorCode, MxError, mxError } from "@mx-agent/base";
import type { Online } from "../online.ts";
import type { Pending, Settled } from "../request/pending.ts";
import type { Request, RequestTable } from "../state/requests.ts";

/** How long a caller who cancelled waits for a sign of the run. */
const GIVE_UP_MS = 2_000;

/** This daemon closes, and the next one goes on; or the request never left. */
const LEAVES_IT = new Set<ErrorCode>([
  "MX_NOT_RUNNING",
  "MX_HOMESERVER_ERROR",
  "MX_NOT_FOUND",
  "MX_FORGOTTEN",
]);

/** Waits for the outcome; the caller's leaving cancels the run. `feed`: his input, on its way there. */
export async function waitFor(
  pending: Pending,
  online: Online,
  signal: AbortSignal,
  feed?: Promise<void>,
): Promise<Settled> {
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
    return await Promise.race([
      online.caller.outcome(pending),
      untilClosing(signal),
      untilGivenUp(signal, pending),
      fed.promise,
    ]);
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
function isCancel(signal: AbortSignal): boolean {
  return !(signal.reason instanceof MxError && signal.reason.code === "MX_NOT_RUNNING");
}

/** Rejects when this daemon closes: the client comes back and asks the next one. */
function untilClosing(signal: AbortSignal): Promise<never> {
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

/** A request of ours of that kind, or MX_NOT_FOUND. */
export function requireKind(requests: RequestTable, invocation_id: string, kind: Request["kind"]): Request {
  const request = requests.get(invocation_id);
  return request?.kind === kind ? request : notFound(invocation_id);
}

export function notFound(invocation_id: string): never {
  throw mxError("MX_NOT_FOUND", {
    what: "invocation",
    name: invocation_id,
    hint: "`mx-agent invocation list`",
  });
}
