import { mxError } from "@mx-agent/base";
import type { VerificationStage } from "@mx-agent/ipc";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/CryptoEvent.js";
import {
  VerificationPhase,
  type VerificationRequest,
  type Verifier,
} from "matrix-js-sdk/lib/crypto-api/verification.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Account } from "../api.ts";
import { Changes } from "../changes.ts";
import { toHomeserverError } from "../homeserver-error.ts";
import { type Alarm, describe } from "../types.ts";
import { learnDevices } from "./unknown-devices.ts";
import { begun, SAS, shown, untilPhase, whenAborted } from "./verification-steps.ts";

export interface VerificationsOptions {
  client: MatrixClient;
  crypto: RustCrypto;
  account: Account;
  ready: () => Promise<void>;
  /** By default a timer. */
  alarm?: Alarm;
}

export interface Comparison {
  /** Ends it, as a no does. */
  signal: AbortSignal;
  onStage(stage: VerificationStage): Promise<void>;
  /** Whether the person said that both sides show the same; anything but true cancels. */
  answer(): Promise<boolean>;
}

/** Two people have so long for all of it, milliseconds. */
const LIMIT_MS = 300_000;
/** Status follows the end of a verification by a moment. */
const SETTLE_MS = 5_000;
const LOOK_MS = 20;
/** Requests that are kept for the operator; a stranger may send any number. */
const MAX_PENDING = 16;

export interface OtherDevice {
  user_id: string;
  device_id: string;
}

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
      this.#incoming = [...this.#waiting(), request].slice(-MAX_PENDING);
      this.#changes.announce();
    });
  }

  /** Who asked to verify this device, and was not answered yet. */
  pending(): OtherDevice[] {
    return this.#waiting().map(otherOf);
  }

  /** Asks that device, and compares. MX_NOT_VERIFIED, with the reason, when it came to no good end. */
  async start(user_id: string, device_id: string, comparison: Comparison): Promise<void> {
    const { client, crypto } = this.#options;
    await this.#within(comparison, async (limited) => {
      if ((await crypto.getDeviceVerificationStatus(user_id, device_id)) === null)
        await learnDevices(client, crypto, user_id);
      const request = await crypto.requestDeviceVerification(user_id, device_id);
      await this.#ask(request, { user_id, device_id }, limited);
    });
  }

  /**
   * Asks that user in a room that both are in, as other clients ask people: whichever of his devices accepts is the one.
   * MX_BAD_INPUT where he has no identity.
   */
  async startInRoom(user_id: string, room_id: string, comparison: Comparison): Promise<OtherDevice> {
    const { client, crypto } = this.#options;
    return this.#within(comparison, async (limited) => {
      await learnDevices(client, crypto, user_id);
      if (!(await crypto.userHasCrossSigningKeys(user_id, true)))
        throw mxError("MX_BAD_INPUT", {
          detail: `${user_id} has no cross-signing keys, so nothing could be verified but a device`,
          hint: `verify one of their devices: \`mx-agent device list --user ${user_id}\``,
        });
      const request = await crypto.requestVerificationDM(user_id, room_id);
      return this.#ask(request, { user_id, device_id: null }, limited);
    });
  }

  /** Takes the first request, of that user and device where they are given; waits for one. */
  async accept(
    user_id: string | null,
    device_id: string | null,
    comparison: Comparison,
  ): Promise<OtherDevice> {
    return this.#within(comparison, async (limited) => {
      await limited.onStage({ type: "waiting" });
      const request = await this.#next(user_id, device_id, limited.signal);
      return this.#carryOut(request, limited, async () => {
        await limited.onStage({ type: "accepted", ...otherOf(request) });
        await request.accept();
        return begun(request, limited.signal);
      });
    });
  }

  #ask(
    request: VerificationRequest,
    whom: { user_id: string; device_id: string | null },
    comparison: Comparison,
  ): Promise<OtherDevice> {
    return this.#carryOut(request, comparison, async () => {
      await comparison.onStage({ type: "requested", ...whom });
      await untilPhase(request, VerificationPhase.Ready, comparison.signal);
      return request.startVerification(SAS);
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
    comparison: Comparison,
    begin: () => Promise<Verifier>,
  ): Promise<OtherDevice> {
    this.#alive.add(request);
    let verifier: Verifier | undefined;
    try {
      verifier = await begin();
      const other = otherOf(request);
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
      await this.#settled(other);
      return other;
    } catch (error) {
      if (request.pending) await request.cancel().catch(() => undefined);
      throw error;
    } finally {
      this.#alive.delete(request);
      if (verifier) this.#alive.delete(verifier);
    }
  }

  async #settled({ user_id, device_id }: OtherDevice): Promise<void> {
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
    const { alarm = timer } = this.#options;
    const inTime = alarm(LIMIT_MS, late);
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
      inTime();
      comparison.signal.removeEventListener("abort", leave);
    }
  }
}

function otherOf({ otherUserId, otherDeviceId }: VerificationRequest): OtherDevice {
  return { user_id: otherUserId, device_id: otherDeviceId ?? "" };
}

const timer: Alarm = (ms, late) => {
  const limit = setTimeout(late, ms);
  return () => clearTimeout(limit);
};
