import { RoomId } from "@matrix-org/matrix-sdk-crypto-wasm";
import { MatrixEvent } from "matrix-js-sdk/lib/models/event.js";
import type { Room } from "matrix-js-sdk/lib/models/room.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import { olmMachineOf } from "./keys/olm-machine.ts";
import { isRecord } from "./types.ts";

/**
 * Sees to it that the SDK can encrypt for a room that is remembered as encrypted. It does so at each start by the
 * room's encryption event, and not at all where that was changed, redacted or hidden since: then it counts how the
 * room began, as the crypto store has it, or else as it was first seen (`remembered`, the content of that event).
 */
export async function canEncrypt(crypto: RustCrypto, room: Room, remembered: unknown): Promise<void> {
  if (hasEncryptor(crypto, room.roomId)) return;
  const content = (await storedSettings(crypto, room.roomId)) ?? (isRecord(remembered) ? remembered : {});
  const event = { type: "m.room.encryption", state_key: "", room_id: room.roomId };
  await crypto.onCryptoEvent(room, new MatrixEvent({ ...event, content }));
  if (!hasEncryptor(crypto, room.roomId))
    throw new Error(`the encryption of ${room.roomId} is not one that we know`);
}

/** The SDK has no public question for this. */
function hasEncryptor(crypto: RustCrypto, room_id: string): boolean {
  const encryptors: unknown = Reflect.get(crypto, "roomEncryptors");
  return isRecord(encryptors) && Object.hasOwn(encryptors, room_id);
}

async function storedSettings(crypto: RustCrypto, room_id: string): Promise<object | undefined> {
  const settings = await olmMachineOf(crypto).getRoomSettings(new RoomId(room_id));
  if (!settings) return undefined;
  const { sessionRotationPeriodMs: ms, sessionRotationPeriodMessages: msgs } = settings;
  settings.free();
  return {
    algorithm: "m.megolm.v1.aes-sha2",
    ...(ms !== undefined && { rotation_period_ms: ms }),
    ...(msgs !== undefined && { rotation_period_msgs: msgs }),
  };
}
