/** A new key of a user, announced under the one before: PROTOCOL "State events", the agent state's `rotation`. */
import { canonicalBytes } from "./canonical-json.ts";
import { signBytes, verifyBytes } from "./signing.ts";
import { decodePublicKey, encodePublicKey, keyIdOf, type SigningKey } from "./signing-key.ts";
import type { Rotation } from "./v1/contents.ts";

/** Signed by both keys: by the old one that it names its successor, by the new one that somebody has it. */
export function signRotation(from: SigningKey, to: SigningKey, user_id: string, now: number): Rotation {
  const announced = {
    user_id,
    from_key_id: from.key_id,
    key_id: to.key_id,
    public_key: encodePublicKey(to.publicKey),
    created_at: new Date(now).toISOString(),
  };
  const bytes = canonicalBytes(announced);
  return { ...announced, signature: signBytes(bytes, from), proof: signBytes(bytes, to) };
}

/**
 * The new public key, where the old one announced it for that user and both signed; undefined otherwise. It
 * grants nothing: an operator approves the new key, or does not.
 */
export function verifyRotation(
  rotation: Rotation,
  user_id: string,
  fromPublicKey: Uint8Array,
): Uint8Array | undefined {
  const { signature, proof, ...announced } = rotation;
  const next = decodePublicKey(announced.public_key);
  if (!next || keyIdOf(next) !== announced.key_id || announced.user_id !== user_id) return undefined;
  if (announced.from_key_id !== keyIdOf(fromPublicKey)) return undefined;
  const bytes = canonicalBytes(announced);
  return verifyBytes(bytes, signature, fromPublicKey) && verifyBytes(bytes, proof, next) ? next : undefined;
}
