import { createPublicKey, verify } from "node:crypto";
import { isObject, type JsonObject, own } from "../http/json.ts";

/** DER before the 32 bytes of an Ed25519 public key (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** "Canonical JSON": keys by code point, no white space. What it can't carry is for the caller to refuse. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value)
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`);
  return `{${entries.join(",")}}`;
}

/** Whether `signature` (unpadded base64) over the object is by the Ed25519 key ("Signing JSON"). */
export function signatureIsBy(publicKey: string, signature: string, signed: JsonObject): boolean {
  const raw = Buffer.from(publicKey, "base64");
  if (raw.length !== 32) return false;
  const { signatures: _signatures, unsigned: _unsigned, ...rest } = signed;
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
  return verify(null, Buffer.from(canonicalJson(rest)), key, Buffer.from(signature, "base64"));
}

/** The signatures that a user's keys made on an object, by key id. */
export function signaturesBy(userId: string, signed: unknown): [string, string][] {
  const all = isObject(signed) ? own(signed, "signatures") : undefined;
  const mine = isObject(all) ? own(all, userId) : undefined;
  return isObject(mine)
    ? Object.entries(mine).filter((entry): entry is [string, string] => typeof entry[1] === "string")
    : [];
}
