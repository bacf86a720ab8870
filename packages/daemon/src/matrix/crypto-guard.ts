import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { DurableIndexedDB } from "./crypto-store/index.ts";
import { describe, type Logger, OUR_TYPES } from "./types.ts";

/** After so many failures at one place the sync goes on without: it would stand still for ever. */
const MAX_FAILURES = 3;

/**
 * The SDK swallows what the encryption throws while it works on a /sync, and goes on; the keys in it would be
 * gone. This notices, so that the position stays where it was and the same /sync is asked for again.
 *
 * The SDK writes that it has read a message before it writes what was in it, and can't read it twice: what one /sync
 * brings becomes durable `together`. Keys and news of devices are on disk before the position moves. Our own messages
 * need not be: they are in the timeline as well, or are asked for again (PROTOCOL.md, "To-device events"), and whatever
 * is sent after them waits for the disk by itself. A sync of the disk for each would be the speed limit of every stream.
 */
export class CryptoGuard {
  #failure: string | undefined;
  #failures = 0;

  constructor(crypto: RustCrypto, store: Pick<DurableIndexedDB, "together" | "durable">, logger: Logger) {
    const processSyncChanges = crypto.processSyncChanges.bind(crypto);
    crypto.processSyncChanges = async (changes) => {
      try {
        const received = await store.together(() => processSyncChanges(changes));
        if (!isOnlyOurs(changes, received)) await store.durable();
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

type SyncChanges = Parameters<RustCrypto["processSyncChanges"]>[0];
type Received = Awaited<ReturnType<RustCrypto["processSyncChanges"]>>;

/** Whether nothing came but messages of ours that could be read. */
function isOnlyOurs({ deviceLists }: SyncChanges, received: Received): boolean {
  if ((deviceLists?.changed?.length ?? 0) + (deviceLists?.left?.length ?? 0) > 0) return false;
  return received.every(({ message }) => message.type.startsWith(OUR_TYPES));
}

function countEncrypted(events: readonly { type: string }[]): number {
  return events.filter((event) => event.type === "m.room.encrypted").length;
}

function isDecrypted({ encryptionInfo }: { encryptionInfo: unknown }): boolean {
  return encryptionInfo !== null;
}
