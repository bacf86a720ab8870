import { mxError } from "@mx-agent/base";
import type { CrossSigningStatus } from "@mx-agent/ipc";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Settings } from "../../state/settings.ts";
import type { Account } from "../api.ts";
import { toHomeserverError } from "../homeserver-error.ts";
import { inFours } from "./fingerprint.ts";
import { olmMachineOf } from "./olm-machine.ts";
import { withPassword } from "./user-interactive.ts";

export interface CrossSigningOptions {
  crypto: RustCrypto;
  account: Account;
  settings: Settings;
  ready: () => Promise<void>;
  /** Removes secret storage and backup, whose secrets a reset makes useless; whether there were any. */
  dropRecovery: () => Promise<boolean>;
}

/** Whose new keys may be here and not on the server. */
const INTERRUPTED = "keys.cross_signing_interrupted";

/** This account's cross-signing identity (Client-Server API, "Cross-signing"). */
export class CrossSigning {
  readonly #options: CrossSigningOptions;

  constructor(options: CrossSigningOptions) {
    this.#options = options;
  }

  /** Whether making or replacing the keys was begun and not ended: they may be here and not on the server. */
  get interrupted(): boolean {
    const { settings, account } = this.#options;
    const whose = settings.get(INTERRUPTED);
    return whose === account.user_id || whose === true;
  }

  async status(): Promise<CrossSigningStatus> {
    const { crypto, account } = this.#options;
    return this.#asking(async () => {
      const published = await crypto.userHasCrossSigningKeys(undefined, true);
      const master = published
        ? (await crypto.getUserCrossSigningKeys(account.user_id))?.master_key
        : undefined;
      const device = await crypto.getDeviceVerificationStatus(account.user_id, account.device_id);
      const { privateKeysCachedLocally: here, privateKeysInSecretStorage } =
        await crypto.getCrossSigningStatus();
      const held = here.masterKey && here.selfSigningKey && here.userSigningKey;
      return {
        user_id: account.user_id,
        state: this.interrupted ? "interrupted" : !published ? "none" : held ? "ready" : "elsewhere",
        fingerprint: master ? inFours(Object.values(master.keys)[0] ?? "") : null,
        device_id: account.device_id,
        device_signed: published && (device?.signedByOwner ?? false),
        recoverable: privateKeysInSecretStorage,
      };
    });
  }

  /**
   * Makes keys for an account that has none, and signs this device. Changes nothing where that is done.
   * MX_BAD_INPUT where another device made them; MX_PASSWORD_NEEDED where the server wants one.
   */
  async bootstrap(password: string | null): Promise<CrossSigningStatus> {
    const { crypto, account } = this.#options;
    const { state, device_signed } = await this.status();
    if (state === "elsewhere")
      throw mxError("MX_BAD_INPUT", {
        detail: `${account.user_id} has cross-signing keys already, made by another device`,
        hint: "fetch them with `mx-agent recovery recover`, verify this device with `mx-agent device verify`, or replace them with `mx-agent auth cross-signing reset`",
      });
    if (state === "ready") {
      if (!device_signed) await this.#asking(() => crypto.crossSignDevice(account.device_id));
      return this.status();
    }
    return this.#renew(password);
  }

  /** Replaces the keys: whoever verified this account has to do so again. What was interrupted is done anew. */
  async reset(password: string | null): Promise<CrossSigningStatus & { recovery_disabled: boolean }> {
    const { ready, settings, account } = this.#options;
    await ready();
    // Recovery goes first, and whoever is interrupted after that has to know.
    settings.set(INTERRUPTED, account.user_id);
    const recovery_disabled = await this.#asking(() => this.#options.dropRecovery());
    const status = await this.#renew(password);
    await this.#asking(() => this.#forgetVerified());
    return { ...status, recovery_disabled };
  }

  /** Whom the old keys vouched for is not under suspicion now that these are gone; he is not verified, and no more. */
  async #forgetVerified(): Promise<void> {
    const { crypto, account } = this.#options;
    for (const user of await olmMachineOf(crypto).trackedUsers()) {
      const user_id = user.toString();
      const status = await crypto.getUserVerificationStatus(user_id);
      if (user_id !== account.user_id && status.wasCrossSigningVerified() && !status.isVerified())
        await crypto.withdrawVerificationRequirement(user_id);
    }
  }

  async #renew(password: string | null): Promise<CrossSigningStatus> {
    const { crypto, account, settings } = this.#options;
    settings.set(INTERRUPTED, account.user_id);
    await this.#asking(() =>
      crypto.bootstrapCrossSigning({
        setupNewCrossSigning: true,
        authUploadDeviceSigningKeys: withPassword({ ...account, password }),
      }),
    );
    settings.delete(INTERRUPTED);
    return this.status();
  }

  async #asking<T>(work: () => Promise<T>): Promise<T> {
    const { ready, account } = this.#options;
    await ready();
    try {
      return await work();
    } catch (error) {
      throw toHomeserverError(error, account.homeserver);
    }
  }
}
