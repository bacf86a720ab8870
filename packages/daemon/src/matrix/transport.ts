import { setTimeout as pause } from "node:timers/promises";
import { DeviceId, UserId } from "@matrix-org/matrix-sdk-crypto-wasm";
import type { EventEncryptionInfo, OlmEncryptionInfo } from "matrix-js-sdk/lib/crypto-api/index.js";
import { EventShieldColour, EventShieldReason } from "matrix-js-sdk/lib/crypto-api/index.js";
import type { MatrixEvent } from "matrix-js-sdk/lib/models/event.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Transport } from "./api.ts";
import { olmMachineOf } from "./keys/olm-machine.ts";
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
  const { device_id, verified } = await ownerOf(crypto, sender, event.getSenderKey());
  const info = await crypto.getEncryptionInfoForEvent(event);
  return {
    encrypted: true,
    device_id,
    authentic: device_id !== null && info !== null && !isShielded(info),
    verified,
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
  const { device_id, verified } = await ownerOf(crypto, sender, info.senderCurve25519KeyBase64);
  return { encrypted: true, device_id, authentic: device_id !== null && info.sender === sender, verified };
}

interface Owner {
  device_id: string | null;
  verified: boolean;
}

/** Whose identity keys were found to be which devices'; asked again each time, since a device may go or be another. */
const found = new WeakMap<RustCrypto, Map<string, string>>();
const MAX_FOUND = 1_000;

/** The device with that identity key, and whether it is verified now. */
async function ownerOf(crypto: RustCrypto, user_id: string, key: string | null): Promise<Owner> {
  if (key === null) return { device_id: null, verified: false };
  const known = found.get(crypto) ?? new Map<string, string>();
  found.set(crypto, known);
  const name = `${user_id} ${key}`;
  const before = known.get(name);
  const verified = before === undefined ? undefined : await verifiedWith(crypto, user_id, before, key);
  if (before !== undefined && verified !== undefined) return { device_id: before, verified };
  known.delete(name);
  const device_id = await deviceOf(crypto, user_id, key);
  if (device_id === null) return { device_id, verified: false };
  if (known.size >= MAX_FOUND) known.clear();
  known.set(name, device_id);
  return { device_id, verified: (await verifiedWith(crypto, user_id, device_id, key)) ?? false };
}

/** Whether that device is verified; undefined where it is not there with that identity key. One look into the store. */
async function verifiedWith(
  crypto: RustCrypto,
  user_id: string,
  device_id: string,
  key: string,
): Promise<boolean | undefined> {
  const device = await olmMachineOf(crypto).getDevice(new UserId(user_id), new DeviceId(device_id));
  if (!device) return undefined;
  try {
    return device.curve25519Key?.toBase64() === key ? device.isVerified() : undefined;
  } finally {
    device.free();
  }
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
async function deviceOf(crypto: RustCrypto, user_id: string, key: string): Promise<string | null> {
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
