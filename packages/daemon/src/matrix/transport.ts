import { setTimeout as pause } from "node:timers/promises";
import type { EventEncryptionInfo, OlmEncryptionInfo } from "matrix-js-sdk/lib/crypto-api/index.js";
import { EventShieldColour, EventShieldReason } from "matrix-js-sdk/lib/crypto-api/index.js";
import type { MatrixEvent } from "matrix-js-sdk/lib/models/event.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Transport } from "./api.ts";
import { describe, type Logger } from "./types.ts";

/** Shields that say that somebody else may have made the event. */
const NOT_AUTHENTIC = new Set<EventShieldReason | null>([
  EventShieldReason.AUTHENTICITY_NOT_GUARANTEED,
  EventShieldReason.UNKNOWN_DEVICE,
  EventShieldReason.MISMATCHED_SENDER_KEY,
  EventShieldReason.MISMATCHED_SENDER,
]);

/**
 * A device that its owner has not cross-signed is red to the SDK. To us it is authentic and not verified: it is
 * the one that the key belongs to, and whether it may do anything is for its signature and the policy to say.
 */
function isShielded({ shieldColour, shieldReason }: EventEncryptionInfo): boolean {
  if (shieldReason === EventShieldReason.UNSIGNED_DEVICE) return false;
  return shieldColour === EventShieldColour.RED || NOT_AUTHENTIC.has(shieldReason);
}

/** What a decrypted room event says about who sent it. */
export async function transportOfEvent(crypto: RustCrypto, event: MatrixEvent): Promise<Transport> {
  const sender = event.getSender() ?? "";
  const device_id = await deviceOf(crypto, sender, event.getSenderKey());
  const info = await crypto.getEncryptionInfoForEvent(event);
  return {
    encrypted: true,
    device_id,
    authentic: device_id !== null && info !== null && !isShielded(info),
    verified: await isVerified(crypto, sender, device_id),
  };
}

/** What a to-device message says about who sent it; when that can't be found out, it says nothing good. */
export async function transportOf(
  crypto: RustCrypto,
  sender: string,
  info: OlmEncryptionInfo | null,
  logger: Logger,
): Promise<Transport> {
  if (info === null) return { encrypted: false };
  try {
    return await transportOfOlm(crypto, sender, info);
  } catch (error) {
    logger.warn({ sender, error: describe(error) }, "the device of a message could not be looked up");
    return { encrypted: true, device_id: null, authentic: false, verified: false };
  }
}

/** Olm itself proves that it comes from the owner of the identity key. */
async function transportOfOlm(
  crypto: RustCrypto,
  sender: string,
  info: OlmEncryptionInfo,
): Promise<Transport> {
  const device_id = await deviceOf(crypto, sender, info.senderCurve25519KeyBase64);
  return {
    encrypted: true,
    device_id,
    authentic: device_id !== null && info.sender === sender,
    verified: await isVerified(crypto, sender, device_id),
  };
}

/** Waiting for news of a device: so often, with this pause, and not again for the same key for a while. */
const LOOKS = 12;
const LOOK_AGAIN_MS = 250;
const NOT_AGAIN_MS = 60_000;
const lookedFor = new WeakMap<RustCrypto, Map<string, number>>();

/**
 * The device of that user whose identity key it is; null when no device of that user has it. A message may be
 * faster than the news of its device, which the SDK is then asking for: that is waited for, once.
 */
async function deviceOf(crypto: RustCrypto, user_id: string, key: string | null): Promise<string | null> {
  if (key === null) return null;
  const known = await knownDevice(crypto, user_id, key);
  if (known !== null || !mayWait(crypto, `${user_id} ${key}`)) return known;
  for (let look = 0; look < LOOKS; look++) {
    await pause(LOOK_AGAIN_MS);
    const found = await knownDevice(crypto, user_id, key);
    if (found !== null) return found;
  }
  return null;
}

function mayWait(crypto: RustCrypto, key: string): boolean {
  const before = lookedFor.get(crypto) ?? new Map<string, number>();
  lookedFor.set(crypto, before);
  const now = performance.now();
  for (const [other, at] of before) if (now - at > NOT_AGAIN_MS) before.delete(other);
  if (before.has(key)) return false;
  before.set(key, now);
  return true;
}

async function knownDevice(crypto: RustCrypto, user_id: string, key: string): Promise<string | null> {
  const devices = await crypto.getUserDeviceInfo([user_id]);
  for (const [device_id, device] of devices.get(user_id) ?? []) {
    if (device.getIdentityKey() === key) return device_id;
  }
  return null;
}

/** Whether the device is verified: cross-signed by an identity that we verified, or by hand. */
export async function isVerified(
  crypto: RustCrypto,
  user_id: string,
  device_id: string | null,
): Promise<boolean> {
  if (device_id === null) return false;
  return (await crypto.getDeviceVerificationStatus(user_id, device_id))?.isVerified() ?? false;
}
