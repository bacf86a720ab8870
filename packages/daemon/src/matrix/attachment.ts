import { createHash, webcrypto } from "node:crypto";
import { mxError } from "@mx-agent/base";

/** How an attachment was encrypted (Client-Server API, "Sending encrypted attachments", EncryptedFile v2). */
export interface EncryptedFile {
  url: string;
  key: { kty: "oct"; alg: "A256CTR"; k: string; ext: true; key_ops: string[] };
  iv: string;
  hashes: { sha256: string };
  v: "v2";
}

/** As it arrives: fields that are not needed may be missing or more. */
export type ReceivedFile = Pick<EncryptedFile, "url" | "iv"> & {
  key: { k: string };
  hashes: { sha256: string };
};

/** The lower half of the 16 bytes counts blocks, and begins at 0. */
const COUNTER_BITS = 64;

/** Encrypts with a key made for this attachment alone; `file` lacks the URL that an upload gives. */
export async function encryptAttachment(
  plain: Uint8Array<ArrayBuffer>,
): Promise<{ cipher: Uint8Array<ArrayBuffer>; file: Omit<EncryptedFile, "url"> }> {
  const secret = webcrypto.getRandomValues(new Uint8Array(32));
  const counter = new Uint8Array(16);
  webcrypto.getRandomValues(counter.subarray(0, 8));
  const key = await aesKey(secret, "encrypt");
  const algorithm = { name: "AES-CTR", counter, length: COUNTER_BITS };
  const cipher = new Uint8Array(await webcrypto.subtle.encrypt(algorithm, key, plain));
  return {
    cipher,
    file: {
      v: "v2",
      key: {
        ...{ kty: "oct", alg: "A256CTR", ext: true, key_ops: ["encrypt", "decrypt"] },
        k: Buffer.from(secret).toString("base64url"),
      },
      iv: unpadded(counter),
      hashes: { sha256: unpadded(createHash("sha256").update(cipher).digest()) },
    },
  };
}

/** Checks the digest first, then decrypts. MX_BAD_INPUT when these are not the bytes that were described. */
export async function decryptAttachment(
  cipher: Uint8Array<ArrayBuffer>,
  file: ReceivedFile,
): Promise<Uint8Array<ArrayBuffer>> {
  const digest = createHash("sha256").update(cipher).digest();
  if (!digest.equals(Buffer.from(file.hashes.sha256, "base64")))
    throw damaged(file.url, "its digest is another than the one that was announced");
  const secret = new Uint8Array(Buffer.from(file.key.k, "base64url"));
  const counter = new Uint8Array(Buffer.from(file.iv, "base64"));
  if (secret.length !== 32 || counter.length !== 16)
    throw damaged(file.url, "its key or IV has a wrong length");
  const key = await aesKey(secret, "decrypt");
  const algorithm = { name: "AES-CTR", counter, length: COUNTER_BITS };
  return new Uint8Array(await webcrypto.subtle.decrypt(algorithm, key, cipher));
}

export function damaged(url: string, detail: string) {
  const hint = "ask its sender to send it again; the homeserver may have changed it";
  return mxError("MX_BAD_INPUT", { detail: `${url}: ${detail}`, hint });
}

function aesKey(secret: Uint8Array<ArrayBuffer>, use: "encrypt" | "decrypt") {
  return webcrypto.subtle.importKey("raw", secret, { name: "AES-CTR" }, false, [use]);
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replace(/=+$/, "");
}
