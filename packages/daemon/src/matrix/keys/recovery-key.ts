import type { CryptoCallbacks } from "matrix-js-sdk/lib/crypto-api/index.js";

/**
 * The key of secret storage, in memory and only while a command needs it: it is shown once and kept nowhere.
 * At all other times the SDK is told that nobody has it.
 */
export class RecoveryKeyHolder {
  #key: { id: string; bytes: Uint8Array<ArrayBuffer> } | undefined;
  #open = false;

  /** What the SDK asks. */
  readonly callbacks: CryptoCallbacks = {
    getSecretStorageKey: async ({ keys }) =>
      this.#key && Object.hasOwn(keys, this.#key.id) ? [this.#key.id, this.#key.bytes] : null,
    cacheSecretStorageKey: (id, _info, bytes) => {
      if (this.#open) this.#key = { id, bytes };
    },
  };

  /** Holds a key, given or about to be made, until the work is done. */
  async during<T>(
    key: { id: string; bytes: Uint8Array<ArrayBuffer> } | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    this.#key = key;
    this.#open = true;
    try {
      return await work();
    } finally {
      this.#key?.bytes.fill(0);
      this.#key = undefined;
      this.#open = false;
    }
  }
}
