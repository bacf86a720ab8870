import { MatrixEvent } from "matrix-js-sdk/lib/models/event.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Account } from "../api.ts";
import type { Decrypted } from "../delivery.ts";
import { describe, isRecord, type Logger } from "../types.ts";

const STEP = /^m\.key\.verification\.(ready|start|accept|key|mac|done|cancel)$/;

/** Whether an event belongs to a verification that goes through a room (Client-Server API, "Key verification framework"). */
export function isOfVerification(type: string, content: unknown): boolean {
  if (STEP.test(type)) return true;
  return type === "m.room.message" && isRecord(content) && content.msgtype === "m.key.verification.request";
}

export interface RoomEvent {
  room_id: string | null;
  event_id: string | null;
  sender: string;
  origin_server_ts: number | null;
}

/**
 * Gives the SDK the events of verifications that come encrypted: it waits for somebody to decrypt them, which our
 * inbox does on objects of its own. Plain ones the SDK takes from /sync by itself.
 */
export function roomVerifications(options: {
  crypto: RustCrypto;
  account: Account;
  logger: Logger;
}): (row: RoomEvent, decrypted: Decrypted) => void {
  const { crypto, account, logger } = options;
  let before = Promise.resolve();
  return ({ room_id, event_id, sender, origin_server_ts }, { type, content, transport }) => {
    if (room_id === null || event_id === null || !isRecord(content) || !isOfVerification(type, content))
      return;
    const own =
      transport.encrypted && sender === account.user_id && transport.device_id === account.device_id;
    if (own) return;
    const event = new MatrixEvent({
      type,
      content,
      sender,
      room_id,
      event_id,
      origin_server_ts: origin_server_ts ?? 0,
    });
    // One after another, and nobody waits: a request asks the homeserver for its sender's devices first.
    before = before
      .then(() => crypto.onLiveEventFromSync(event))
      .catch((error: unknown) =>
        logger.warn(
          { sender, type, error: describe(error) },
          "a verification's event could not be worked on",
        ),
      );
  };
}
