import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { decodeBase64Unpadded, encodeBase64Unpadded } from "./base64.ts";

/** An agent's Ed25519 key; one for each Matrix user. */
export interface SigningKey {
  privateKey: KeyObject;
  /** The raw 32 bytes. */
  publicKey: Uint8Array;
  /** `mxagent-ed25519:` and unpadded base64 of SHA-256 of the public key. */
  key_id: string;
  /** `SHA256:` and the same digest: what people compare. */
  fingerprint: string;
}

// DER of an Ed25519 key up to its 32 bytes (RFC 8410): node:crypto takes no raw keys.
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex");

export function generateSigningKey(): SigningKey {
  return signingKey(generateKeyPairSync("ed25519").privateKey);
}

/** The key of a 32-byte seed (RFC 8032). Throws RangeError for any other length. */
export function importSigningKey(seed: Uint8Array): SigningKey {
  if (seed.length !== 32) throw new RangeError(`an Ed25519 seed has 32 bytes, not ${seed.length}`);
  const key = Buffer.concat([pkcs8Prefix, seed]);
  return signingKey(createPrivateKey({ key, format: "der", type: "pkcs8" }));
}

/** The 32-byte seed: whoever has it is the agent. */
export function exportSeed(key: SigningKey): Buffer {
  return key.privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
}

export function keyIdOf(publicKey: Uint8Array): string {
  return `mxagent-ed25519:${digestOf(publicKey)}`;
}

export function fingerprintOf(publicKey: Uint8Array): string {
  return `SHA256:${digestOf(publicKey)}`;
}

/** A public key as agent states carry it: base64 without padding. */
export function encodePublicKey(publicKey: Uint8Array): string {
  return encodeBase64Unpadded(publicKey);
}

/** The raw 32 bytes; undefined when it is not a public key, or one whose signatures anybody can make. */
export function decodePublicKey(text: string): Uint8Array | undefined {
  const bytes = decodeBase64Unpadded(text);
  return bytes?.length === 32 && !isSmallOrder(bytes) ? bytes : undefined;
}

/** The encodings of the curve's points of order 1, 2, 4 and 8, their sign bit cleared; the last two are not reduced. */
const smallOrder: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/** A point of small order is a key without a secret: one signature of it fits many messages. */
function isSmallOrder(publicKey: Uint8Array): boolean {
  const point = Buffer.from(publicKey);
  point.writeUInt8(point.readUInt8(31) & 0x7f, 31);
  return smallOrder.has(point.toString("hex"));
}

/** Ready for node:crypto. Making one costs half a verification, so the latest are kept. */
export function publicKeyObject(publicKey: Uint8Array): KeyObject {
  const name = encodeBase64Unpadded(publicKey);
  const cached = objects.get(name);
  if (cached !== undefined) return cached;
  const object = createPublicKey({
    key: Buffer.concat([spkiPrefix, publicKey]),
    format: "der",
    type: "spki",
  });
  if (objects.size >= MAX_OBJECTS) objects.clear();
  objects.set(name, object);
  return object;
}

/**
 * By the key's bytes. Strangers' keys get here too (agent states and claims of invitations are signed by the key that they
 * name): whoever fills it makes us make the approved ones again, which costs half of the verification that he asked for.
 */
const objects = new Map<string, KeyObject>();
const MAX_OBJECTS = 1024;

function signingKey(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);
  return { privateKey, publicKey, key_id: keyIdOf(publicKey), fingerprint: fingerprintOf(publicKey) };
}

function digestOf(publicKey: Uint8Array): string {
  return encodeBase64Unpadded(createHash("sha256").update(publicKey).digest());
}
