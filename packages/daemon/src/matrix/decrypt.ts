import { MatrixEvent, MatrixEventEvent } from "matrix-js-sdk/lib/models/event.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { InboxRow } from "../state/inbox.ts";
import type { Account } from "./api.ts";
import type { Decrypt, Decrypted } from "./delivery.ts";
import { cutNesting } from "./nesting.ts";
import type { OwnEvents } from "./own-events.ts";
import { isVerified, transportOfEvent } from "./transport.ts";

/**
 * Decrypts events of the inbox. What can't be decrypted stays in the SDK's list of those that wait for a key,
 * which then tries again; `onDecrypted` says that one of them came out.
 */
export function decryptor(
  crypto: RustCrypto,
  { own, account }: { own: OwnEvents; account: Account },
  onDecrypted: () => void,
): Decrypt {
  /** By inbox id: another object for the same event would wait in the SDK's list as well. */
  const waiting = new Map<number, MatrixEvent>();
  const { device_id } = account;
  return async (row) => {
    const ours = own.take(row);
    if (ours) {
      const verified = await isVerified(crypto, account.user_id, device_id);
      const transport = { encrypted: true, device_id, authentic: true, verified } as const;
      return { type: ours.type, content: cutNesting(JSON.parse(ours.content)), transport };
    }
    const known = waiting.get(row.id);
    const event = known ?? eventOf(row);
    if (!known || event.isDecryptionFailure()) {
      await event.attemptDecryption(crypto, { isRetry: known !== undefined });
    }
    if (event.isDecryptionFailure()) {
      if (!known) {
        waiting.set(row.id, event);
        event.on(MatrixEventEvent.Decrypted, (_, error) => {
          if (!error) onDecrypted();
        });
      }
      return event.decryptionFailureReason ?? "unknown";
    }
    waiting.delete(row.id);
    event.removeAllListeners(MatrixEventEvent.Decrypted);
    return decrypted(crypto, event);
  };
}

/** The content as it was first sent: an edit never changes a request. */
async function decrypted(crypto: RustCrypto, event: MatrixEvent): Promise<Decrypted> {
  return {
    type: event.getType(),
    content: cutNesting(event.getOriginalContent()),
    transport: await transportOfEvent(crypto, event),
  };
}

function eventOf(row: InboxRow): MatrixEvent {
  return new MatrixEvent({
    type: row.type,
    sender: row.sender,
    content: JSON.parse(row.content),
    room_id: row.room_id ?? "",
    event_id: row.event_id ?? "",
    origin_server_ts: row.origin_server_ts ?? 0,
  });
}
