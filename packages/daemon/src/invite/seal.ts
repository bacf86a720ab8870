/** Boxes of tweetnacl (X25519, XSalsa20-Poly1305) as JSON carries them; randomness comes from node:crypto. */
import { randomBytes } from "node:crypto";
import { decodeBase64, decodeBase64Unpadded, encodeBase64, encodeBase64Unpadded } from "@mx-agent/protocol";
import nacl from "tweetnacl";

export interface BoxKey {
  /** Base64 without padding. */
  public_key: string;
  secret: Uint8Array;
}

export interface Sealed {
  nonce: string;
  box: string;
}

export function newBoxKey(): BoxKey {
  return boxKeyOf(randomBytes(nacl.box.secretKeyLength));
}

export function boxKeyOf(secret: Uint8Array): BoxKey {
  const { publicKey } = nacl.box.keyPair.fromSecretKey(new Uint8Array(secret));
  return { public_key: encodeBase64Unpadded(publicKey), secret: new Uint8Array(secret) };
}

/** Seals a JSON value to the holder of `to` (base64 without padding), who can tell that it is from `from`. */
export function seal(value: object, to: string, from: BoxKey): Sealed {
  const nonce = new Uint8Array(randomBytes(nacl.box.nonceLength));
  const message = new Uint8Array(Buffer.from(JSON.stringify(value), "utf8"));
  const box = nacl.box(message, nonce, keyBytes(to), from.secret);
  return { nonce: encodeBase64(nonce), box: encodeBase64(box) };
}

/** What `from` sealed to us; undefined when it is not that, or no JSON. */
export function unseal({ nonce, box }: Sealed, from: string, to: BoxKey): unknown {
  const [bytes, once] = [decodeBase64(box), decodeBase64(nonce)];
  if (!bytes || once?.length !== nacl.box.nonceLength) return undefined;
  const opened = nacl.box.open(new Uint8Array(bytes), new Uint8Array(once), keyBytes(from), to.secret);
  if (opened === null) return undefined;
  try {
    return JSON.parse(Buffer.from(opened).toString("utf8"));
  } catch {
    return undefined;
  }
}

function keyBytes(text: string): Uint8Array {
  return new Uint8Array(decodeBase64Unpadded(text) ?? Buffer.alloc(nacl.box.publicKeyLength));
}
