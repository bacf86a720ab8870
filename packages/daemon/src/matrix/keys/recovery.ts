import { mxError } from "@mx-agent/base";
import type { RecoveryStatus } from "@mx-agent/ipc";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/recovery-key.js";
import { RustBackupManager } from "matrix-js-sdk/lib/rust-crypto/backup.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Settings } from "../../state/settings.ts";
import type { Account } from "../api.ts";
import { toHomeserverError } from "../homeserver-error.ts";
import { olmMachineOf } from "./olm-machine.ts";
import type { RecoveryKeyHolder } from "./recovery-key.ts";

export interface RecoveryOptions {
  client: MatrixClient;
  crypto: RustCrypto;
  account: Account;
  settings: Settings;
  holder: RecoveryKeyHolder;
  ready: () => Promise<void>;
}

/** Whose recovery was being set up: the server may have it under a key that nobody was shown. */
const INTERRUPTED = "keys.recovery_interrupted";
/** A new key waits at most so long for its backup, milliseconds: a machine may not live much longer. */
const BACKUP_DELAY_MS = 1_000;

/** Secret storage and key backup: what a new machine gets everything back from, with the recovery key alone. */
export class Recovery {
  readonly #options: RecoveryOptions;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    Object.assign(RustBackupManager, { maxBackupLoopStartDelayMillis: BACKUP_DELAY_MS });
  }

  /** Whether setting it up was begun and not ended: nobody has the key that it may be under. */
  get interrupted(): boolean {
    const { settings, account } = this.#options;
    return settings.get(INTERRUPTED) === account.user_id;
  }

  async status(): Promise<RecoveryStatus> {
    return this.#asking(() => this.#status());
  }

  /**
   * Sets up secret storage and a backup under a new key, and resolves to that key: nobody keeps it but who asked.
   * MX_BAD_INPUT without cross-signing keys here, or where it is enabled and not to be replaced. What was interrupted
   * is done anew.
   */
  async enable(replace: boolean): Promise<{ recovery_key: string } & RecoveryStatus> {
    const { crypto, holder, settings, account } = this.#options;
    return this.#asking(async () => {
      const { privateKeysCachedLocally: keys } = await crypto.getCrossSigningStatus();
      if (!keys.masterKey || !keys.selfSigningKey || !keys.userSigningKey)
        throw mxError("MX_BAD_INPUT", {
          detail: "this machine has no cross-signing keys that could be recovered",
          hint: "make them first with `mx-agent auth cross-signing bootstrap`",
        });
      const { enabled } = await this.#status();
      if (enabled && !replace && !this.interrupted)
        throw mxError("MX_BAD_INPUT", {
          detail: "recovery is enabled already, under a key that was shown then",
          hint: "--replace makes a new one, and the old one is worth nothing any more",
        });
      const key = await crypto.createRecoveryKeyFromPassphrase();
      const recovery_key = key.encodedPrivateKey ?? "";
      settings.set(INTERRUPTED, account.user_id);
      await holder.during(undefined, () =>
        crypto.bootstrapSecretStorage({
          createSecretStorageKey: async () => key,
          setupNewSecretStorage: true,
          setupNewKeyBackup: true,
        }),
      );
      settings.delete(INTERRUPTED);
      return { recovery_key, ...(await this.#status()) };
    });
  }

  /**
   * Fetches the cross-signing keys, signs this device with them, and reads the backup. MX_BAD_INPUT when it is
   * not the recovery key, MX_NOT_FOUND when the account has none.
   */
  async recover(recovery_key: string): Promise<{ imported: number; total: number } & RecoveryStatus> {
    const { client, holder } = this.#options;
    return this.#asking(async () => {
      const [id, description] = (await client.secretStorage.getKey()) ?? [];
      if (id === undefined || description === undefined)
        throw mxError("MX_NOT_FOUND", {
          what: "recovery of",
          name: this.#options.account.user_id,
          hint: "it has to be enabled on a machine that has the keys: `mx-agent recovery enable`",
        });
      const bytes = decoded(recovery_key);
      if (!(await client.secretStorage.checkKey(bytes, description))) throw notTheKey();
      return holder.during({ id, bytes }, async () => {
        await this.#takeIdentity();
        const restored = await this.#takeBackup();
        return { ...restored, ...(await this.#status()) };
      });
    });
  }

  /** Deletes the backup and all secrets from the server; whether there were any. */
  async disable(): Promise<boolean> {
    return this.#asking(async () => {
      const { enabled, backup_version } = await this.#status();
      if (!enabled && backup_version === null) return false;
      await this.#options.crypto.disableKeyStorage();
      this.#options.settings.delete(INTERRUPTED);
      return true;
    });
  }

  async #takeIdentity(): Promise<void> {
    const { crypto, account } = this.#options;
    // With nothing to fetch the SDK would make new ones, and make the old ones worthless.
    if (!(await crypto.userHasCrossSigningKeys(undefined, true))) return;
    const { privateKeysInSecretStorage } = await crypto.getCrossSigningStatus();
    if (!privateKeysInSecretStorage) return;
    await crypto.bootstrapCrossSigning({});
    const device = await crypto.getDeviceVerificationStatus(account.user_id, account.device_id);
    if (!device?.signedByOwner) await crypto.crossSignDevice(account.device_id);
  }

  async #takeBackup(): Promise<{ imported: number; total: number }> {
    const { client, crypto } = this.#options;
    if ((await client.secretStorage.isStored("m.megolm_backup.v1")) === null)
      return { imported: 0, total: 0 };
    if ((await crypto.getKeyBackupInfo()) === null) return { imported: 0, total: 0 };
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
    const { imported, total } = await crypto.restoreKeyBackup();
    return { imported, total };
  }

  async #status(): Promise<RecoveryStatus> {
    const { client, crypto } = this.#options;
    const { defaultKeyId, secretStorageKeyValidityMap: stored } = await crypto.getSecretStorageStatus();
    const info = await crypto.getKeyBackupInfo();
    const active = await crypto.getActiveSessionBackupVersion();
    const counts = await olmMachineOf(crypto).roomKeyCounts();
    const hasKey = defaultKeyId !== null && (await client.secretStorage.hasKey(defaultKeyId));
    return {
      enabled: hasKey,
      cross_signing_stored: hasKey && stored["m.cross_signing.master"] === true,
      backup_version: info?.version ?? null,
      backup_active: active !== null,
      room_keys: counts.total,
      room_keys_backed_up: active === null ? 0 : counts.backedUp,
    };
  }

  async #asking<T>(work: () => Promise<T>): Promise<T> {
    await this.#options.ready();
    try {
      return await work();
    } catch (error) {
      throw toHomeserverError(error, this.#options.account.homeserver);
    }
  }
}

function decoded(recovery_key: string): Uint8Array<ArrayBuffer> {
  try {
    return decodeRecoveryKey(recovery_key);
  } catch {
    throw notTheKey();
  }
}

/** What was typed is a secret, or nearly one: it is not repeated. */
function notTheKey() {
  return mxError("MX_BAD_INPUT", {
    detail: "this is not the recovery key of this account",
    hint: "it is twelve groups of four letters and digits, shown once by `mx-agent recovery enable`",
  });
}
