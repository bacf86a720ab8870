/**
 * A bare chain can be cut, or rewritten whole. A checkpoint is a line with a signature over itself, and
 * so over the hash of the line before and all that came before that.
 */
import { sign } from "node:crypto";
import type { AuditLine } from "@mx-agent/ipc";
import {
  decodePublicKey,
  encodeBase64,
  encodePublicKey,
  keyIdOf,
  type SigningKey,
  signedBytes,
  verifySignature,
} from "@mx-agent/protocol";
import { encodeLine, type Position } from "./line.ts";

export interface AuditSigner {
  key_id: string;
  /** The raw 32 bytes. */
  public_key: Uint8Array;
  /** Ed25519 over the bytes: 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array;
}

export function signerOf(key: SigningKey): AuditSigner {
  return {
    key_id: key.key_id,
    public_key: key.publicKey,
    sign: (bytes) => sign(null, bytes, key.privateKey),
  };
}

export function encodeCheckpoint(
  after: Position,
  ts: Date,
  signer: AuditSigner,
): ReturnType<typeof encodeLine> {
  const fields = { kind: "checkpoint", public_key: encodePublicKey(signer.public_key) };
  const { line } = encodeLine(after, ts, fields);
  const signature = {
    alg: "ed25519",
    key_id: signer.key_id,
    sig: encodeBase64(signer.sign(signedBytes(line))),
  };
  return encodeLine(after, ts, { ...fields, signature });
}

/** What is wrong with a checkpoint, or null. `isOwn` says whether a key is, or was, this daemon's. */
export function checkCheckpoint(line: AuditLine, isOwn: (key_id: string) => boolean): string | null {
  const publicKey = typeof line.public_key === "string" ? decodePublicKey(line.public_key) : undefined;
  if (!publicKey) return "a checkpoint without a public key";
  if (verifySignature(line, publicKey) !== "ok") return "the signature of a checkpoint is not valid";
  const key_id = keyIdOf(publicKey);
  return isOwn(key_id) ? null : `a checkpoint is signed by ${key_id}, which is no key of this daemon`;
}
