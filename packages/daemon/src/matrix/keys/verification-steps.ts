/** What is waited for while two people verify each other; each of these ends when the signal aborts. */
import {
  type ShowSasCallbacks,
  VerificationPhase,
  type VerificationRequest,
  VerificationRequestEvent,
  type Verifier,
  VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/verification.js";

/** Comparing short authentication strings, the one method that is offered. */
export const SAS = "m.sas.v1";
/** How long the side that accepted waits for the other to begin, before it does: some wait for a click. */
const BEGIN_MS = 2_000;

/** The verifier of the other side's beginning, or of ours where it does not begin. */
export async function begun(request: VerificationRequest, signal: AbortSignal): Promise<Verifier> {
  await untilPhase(request, VerificationPhase.Ready, signal);
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(patience.resolve, BEGIN_MS);
  await Promise.race([untilPhase(request, VerificationPhase.Started, signal), patience.promise]);
  clearTimeout(timer);
  return request.verifier ?? request.startVerification(SAS);
}

/** Resolves when it is so far. Rejects when it was cancelled or the signal aborts. */
export async function untilPhase(
  request: VerificationRequest,
  phase: VerificationPhase,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => {
    if (request.phase === VerificationPhase.Cancelled)
      reject(new Error(`the other side ended it: ${request.cancellationCode ?? "without a reason"}`));
    else if (request.phase >= phase) resolve();
  };
  request.on(VerificationRequestEvent.Change, look);
  try {
    look();
    await Promise.race([promise, whenAborted(signal)]);
  } finally {
    request.off(VerificationRequestEvent.Change, look);
  }
}

/** What both sides are to compare. */
export async function shown(verifier: Verifier, signal: AbortSignal): Promise<ShowSasCallbacks> {
  const callbacks = verifier.getShowSasCallbacks();
  if (callbacks) return callbacks;
  const { promise, resolve } = Promise.withResolvers<ShowSasCallbacks>();
  verifier.once(VerifierEvent.ShowSas, resolve);
  return Promise.race([promise, whenAborted(signal)]);
}

export function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
