import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import { describe, type Logger } from "./types.ts";

type Together = <T>(work: () => Promise<T>) => Promise<T>;

/** After so many failures at one place the sync goes on without: it would stand still for ever. */
const MAX_FAILURES = 3;

/**
 * The SDK swallows what the encryption throws while it works on a /sync, and goes on; the keys in it would be
 * gone. This notices, so that the position stays where it was and the same /sync is asked for again.
 *
 * The SDK writes that it has read a message before it writes what was in it, and can't read it twice: what one /sync
 * brings becomes durable `together`.
 */
export class CryptoGuard {
  #failure: string | undefined;
  #failures = 0;

  constructor(crypto: RustCrypto, together: Together, logger: Logger) {
    const processSyncChanges = crypto.processSyncChanges.bind(crypto);
    crypto.processSyncChanges = async (changes) => {
      try {
        const received = await together(() => processSyncChanges(changes));
        this.#failures = 0;
        const lost = countEncrypted(changes.toDeviceEvents) - received.filter(isDecrypted).length;
        if (lost > 0) logger.warn({ lost }, "messages to this device could not be decrypted and are gone");
        return received;
      } catch (error) {
        this.#failure = describe(error);
        throw error;
      }
    };
  }

  /** Why the last sync must not be committed, if that is so. */
  takeFailure(): string | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure === undefined || ++this.#failures > MAX_FAILURES) return undefined;
    return failure;
  }
}

function countEncrypted(events: readonly { type: string }[]): number {
  return events.filter((event) => event.type === "m.room.encrypted").length;
}

function isDecrypted({ encryptionInfo }: { encryptionInfo: unknown }): boolean {
  return encryptionInfo !== null;
}
