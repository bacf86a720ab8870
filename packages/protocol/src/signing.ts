/** Signing and verifying contents: PROTOCOL "Signing". */
import { createHash, sign, verify } from "node:crypto";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { CanonicalJsonError, canonicalBytes } from "./canonical-json.ts";
import { keyIdOf, publicKeyObject, type SigningKey } from "./signing-key.ts";
import type { Signature } from "./v1/fields.ts";

/** What a signed content says about the event that may carry it. */
export interface Binding {
  room_id: string;
  type: string;
  sender: string;
  device_id: string;
}

/** The event that carried a content, as the transport vouches for it. */
export interface Carrier {
  /** To-device: the invocation's room as the receiver recorded it, or for a ping a room that both are in. */
  room_id: string;
  type: string;
  sender: string;
  /** null where the transport does not authenticate the device. */
  device_id: string | null;
}

export type SignatureVerdict = "ok" | "unsigned" | "invalid_signature";
export type BindingVerdict = "ok" | "binding_missing" | "binding_mismatch";

/**
 * The content with its binding and the signature of `key` over everything in it; a signature that it had
 * is replaced. Throws CanonicalJsonError when it has no canonical JSON.
 */
export function signContent<T extends object>(
  content: T,
  key: SigningKey,
  binding: Binding,
): T & { binding: Binding; signature: Signature } {
  const bound = { ...content, binding };
  return { ...bound, signature: signBytes(signedBytes(bound), key) };
}

/** What the signature of a content covers: its canonical JSON without the top-level `signature`. */
export function signedBytes(content: object): Buffer {
  const rest: Record<string, unknown> = { ...content };
  delete rest.signature;
  return canonicalBytes(rest);
}

/**
 * Verifies a content, exactly as it was received, against the raw 32 bytes of the key that the operator
 * approved. The `key_id` must be that key's, the signature canonical and not malleable.
 */
export function verifySignature(content: object, publicKey: Uint8Array): SignatureVerdict {
  const signature = property(content, "signature");
  if (signature === undefined) return "unsigned";
  try {
    return verifyBytes(signedBytes(content), signature, publicKey) ? "ok" : "invalid_signature";
  } catch (error) {
    if (error instanceof CanonicalJsonError) return "invalid_signature";
    throw error;
  }
}

/** Compares what was signed with the event that carried it. PROTOCOL "New: binding". */
export function verifyBinding(content: object, carrier: Carrier): BindingVerdict {
  const binding = property(content, "binding");
  if (binding === undefined) return "binding_missing";
  if (typeof binding !== "object" || binding === null) return "binding_mismatch";
  const same =
    property(binding, "room_id") === carrier.room_id &&
    property(binding, "type") === carrier.type &&
    property(binding, "sender") === carrier.sender &&
    (carrier.device_id === null || property(binding, "device_id") === carrier.device_id);
  return same ? "ok" : "binding_mismatch";
}

/** The key that a content names, before anything about it is verified; undefined when it names none. */
export function claimedKeyId(content: object): string | undefined {
  const signature = property(content, "signature");
  if (typeof signature !== "object" || signature === null) return undefined;
  const keyId = property(signature, "key_id");
  return typeof keyId === "string" ? keyId : undefined;
}

/**
 * What `request_sha256` carries: SHA-256 over the canonical JSON of the whole content, signature and all,
 * in standard base64 with padding. Two requests that differ in anything have different digests.
 */
export function requestDigest(content: object): string {
  return createHash("sha256").update(canonicalBytes(content)).digest("base64");
}

/** SHA-256 in standard base64 with padding, as chunks, artifacts and `finished` carry it. */
export function sha256Base64(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

export function signBytes(bytes: Uint8Array, key: SigningKey): Signature {
  return { alg: "ed25519", key_id: key.key_id, sig: encodeBase64(sign(null, bytes, key.privateKey)) };
}

/** Whether `signature` (anything) is the signature object of that key over those bytes. */
export function verifyBytes(bytes: Uint8Array, signature: unknown, publicKey: Uint8Array): boolean {
  if (typeof signature !== "object" || signature === null) return false;
  const sig = property(signature, "sig");
  if (property(signature, "alg") !== "ed25519" || typeof sig !== "string") return false;
  if (property(signature, "key_id") !== keyIdOf(publicKey)) return false;
  return verifyRaw(bytes, sig, publicKey);
}

/** The bare check: `sig` is standard base64 with padding of the 64 bytes of a canonical Ed25519 signature. */
export function verifyRaw(bytes: Uint8Array, sig: string, publicKey: Uint8Array): boolean {
  const raw = decodeBase64(sig);
  if (raw?.length !== 64 || publicKey.length !== 32) return false;
  return verify(null, bytes, publicKeyObject(publicKey), raw);
}

/** An own property, so that nothing is read from a prototype. */
function property(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined;
}
