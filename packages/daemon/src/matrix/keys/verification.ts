import { mxError } from "@mx-agent/base";
import type { VerificationStage } from "@mx-agent/ipc";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/CryptoEvent.js";
import {
  type ShowSasCallbacks,
  VerificationPhase,
  type VerificationRequest,
  VerificationRequestEvent,
  type Verifier,
  VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/verification.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Account } from "../api.ts";
import { Changes } from "../changes.ts";
import { toHomeserverError } from "../homeserver-error.ts";
import { describe } from "../types.ts";

export interface VerificationsOptions {
  client: MatrixClient;
  crypto: RustCrypto;
  account: Account;
  ready: () => Promise<void>;
}

export interface Comparison {
  /** Ends it, as a no does. */
  signal: AbortSignal;
  onStage(stage: VerificationStage): Promise<void>;
  /** Whether the person said that both sides show the same; anything but true cancels. */
  answer(): Promise<boolean>;
}

const SAS = "m.sas.v1";
/** Two people have so long for all of it, milliseconds. */
const LIMIT_MS = 300_000;
/** How long the side that accepted waits for the other to begin, before it does: some wait for a click. */
const BEGIN_MS = 2_000;
/** Status follows the end of a verification by a moment. */
const SETTLE_MS = 5_000;
const LOOK_MS = 20;
/** Requests that are kept for the operator; a stranger may send any number. */
const MAX_PENDING = 16;

/** Interactive verification by comparing short authentication strings (Client-Server API, "Device verification"). */
export class Verifications {
  readonly #options: VerificationsOptions;
  readonly #changes = new Changes();
  #incoming: VerificationRequest[] = [];
  /** The wasm holds them weakly: one that was collected hears nothing any more. */
  readonly #alive = new Set<VerificationRequest | Verifier>();

  constructor(options: VerificationsOptions) {
    this.#options = options;
    options.crypto.setSupportedVerificationMethods([SAS]);
    options.client.on(CryptoEvent.VerificationRequestReceived, (request) => {
      // In a room our answers would have to be plain events, which are never sent into an encrypted one.
      if (request.roomId !== undefined) return;
      this.#incoming = [...this.#waiting(), request].slice(-MAX_PENDING);
      this.#changes.announce();
    });
  }

  /** Who asked to verify this device, and was not answered yet. */
  pending(): { user_id: string; device_id: string }[] {
    return this.#waiting().map(({ otherUserId, otherDeviceId }) => ({
      user_id: otherUserId,
      device_id: otherDeviceId ?? "",
    }));
  }

  /** Asks that device, and compares. MX_NOT_VERIFIED, with the reason, when it came to no good end. */
  async start(user_id: string, device_id: string, comparison: Comparison): Promise<void> {
    await this.#within(comparison, async (limited) => {
      const request = await this.#options.crypto.requestDeviceVerification(user_id, device_id);
      await this.#carryOut(request, { user_id, device_id }, limited, async () => {
        await limited.onStage({ type: "requested", user_id, device_id });
        await untilPhase(request, VerificationPhase.Ready, limited.signal);
        return request.startVerification(SAS);
      });
    });
  }

  /** Takes the first request, of that user and device where they are given; waits for one. */
  async accept(
    user_id: string | null,
    device_id: string | null,
    comparison: Comparison,
  ): Promise<{ user_id: string; device_id: string }> {
    return this.#within(comparison, async (limited) => {
      await limited.onStage({ type: "waiting" });
      const request = await this.#next(user_id, device_id, limited.signal);
      const other = { user_id: request.otherUserId, device_id: request.otherDeviceId ?? "" };
      await this.#carryOut(request, other, limited, async () => {
        await limited.onStage({ type: "accepted", ...other });
        await request.accept();
        return begun(request, limited.signal);
      });
      return other;
    });
  }

  #waiting(): VerificationRequest[] {
    return this.#incoming.filter(({ phase }) => phase === VerificationPhase.Requested);
  }

  async #next(user: string | null, device: string | null, signal: AbortSignal): Promise<VerificationRequest> {
    for (;;) {
      const found = this.#waiting().find(
        ({ otherUserId, otherDeviceId }) =>
          (user === null || otherUserId === user) && (device === null || otherDeviceId === device),
      );
      if (found) return found;
      await this.#changes.next(signal, LIMIT_MS);
    }
  }

  /** From the verifier on both roles are the same. Whatever goes wrong, the other side is told. */
  async #carryOut(
    request: VerificationRequest,
    other: { user_id: string; device_id: string },
    comparison: Comparison,
    begin: () => Promise<Verifier>,
  ): Promise<void> {
    this.#alive.add(request);
    let verifier: Verifier | undefined;
    try {
      verifier = await begin();
      this.#alive.add(verifier);
      const done = verifier.verify();
      done.catch(() => undefined);
      const sas = await Promise.race([shown(verifier, comparison.signal), done]);
      if (!sas) throw new Error("the other side ended it before anything was shown");
      const { emoji = [], decimal = [] } = sas.sas;
      await comparison.onStage({ type: "compare", ...other, emoji, decimal });
      if ((await Promise.race([comparison.answer(), done, whenAborted(comparison.signal)])) !== true) {
        sas.mismatch();
        throw mxError("MX_DECLINED");
      }
      await sas.confirm();
      await comparison.onStage({ type: "confirmed" });
      await Promise.race([done, whenAborted(comparison.signal)]);
      await this.#settled(other.user_id, other.device_id);
    } catch (error) {
      if (request.pending) await request.cancel().catch(() => undefined);
      throw error;
    } finally {
      this.#alive.delete(request);
      if (verifier) this.#alive.delete(verifier);
    }
  }

  async #settled(user_id: string, device_id: string): Promise<void> {
    for (let waited = 0; waited < SETTLE_MS; waited += LOOK_MS) {
      if ((await this.#options.crypto.getDeviceVerificationStatus(user_id, device_id))?.isVerified()) return;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    throw new Error("both sides agreed, and the device is not verified all the same");
  }

  async #within<T>(comparison: Comparison, work: (limited: Comparison) => Promise<T>): Promise<T> {
    const ended = new AbortController();
    const leave = () => ended.abort(comparison.signal.reason);
    const late = () =>
      ended.abort(mxError("MX_NOT_VERIFIED", { detail: `it took longer than ${LIMIT_MS / 60_000} minutes` }));
    const limit = setTimeout(late, LIMIT_MS);
    comparison.signal.addEventListener("abort", leave, { once: true });
    if (comparison.signal.aborted) leave();
    try {
      await this.#options.ready();
      return await work({ ...comparison, signal: ended.signal });
    } catch (error) {
      const mx = toHomeserverError(error, this.#options.account.homeserver);
      if (mx.code !== "MX_HOMESERVER_UNREACHABLE") throw mx;
      throw mxError("MX_NOT_VERIFIED", { detail: describe(error) }, { cause: error });
    } finally {
      clearTimeout(limit);
      comparison.signal.removeEventListener("abort", leave);
    }
  }
}

/** The verifier of the other side's beginning, or of ours where it does not begin. */
async function begun(request: VerificationRequest, signal: AbortSignal): Promise<Verifier> {
  await untilPhase(request, VerificationPhase.Ready, signal);
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(patience.resolve, BEGIN_MS);
  await Promise.race([untilPhase(request, VerificationPhase.Started, signal), patience.promise]);
  clearTimeout(timer);
  return request.verifier ?? request.startVerification(SAS);
}

/** Resolves when it is so far. Rejects when it was cancelled or the signal aborts. */
async function untilPhase(
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

async function shown(verifier: Verifier, signal: AbortSignal): Promise<ShowSasCallbacks> {
  const callbacks = verifier.getShowSasCallbacks();
  if (callbacks) return callbacks;
  const { promise, resolve } = Promise.withResolvers<ShowSasCallbacks>();
  verifier.once(VerifierEvent.ShowSas, resolve);
  return Promise.race([promise, whenAborted(signal)]);
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
