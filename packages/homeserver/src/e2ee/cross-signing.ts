import type { App } from "../app.ts";
import { badJson, invalidParam, MatrixError } from "../http/errors.ts";
import { isObject, type JsonObject, optionalObject, own } from "../http/json.ts";
import type { CrossSigningUsage } from "../store/crypto.ts";
import { announceDeviceChange } from "./device-lists.ts";
import { publicKeyOf } from "./query.ts";
import { signatureIsBy, signaturesBy } from "./signatures.ts";

const fields: readonly (readonly [string, CrossSigningUsage])[] = [
  ["master_key", "master"],
  ["self_signing_key", "self_signing"],
  ["user_signing_key", "user_signing"],
];

export type CrossSigningUpload = Readonly<Partial<Record<CrossSigningUsage, JsonObject>>>;

/** Reads the body of POST /keys/device_signing/upload; M_INVALID_PARAM, M_BAD_JSON. */
export function parseCrossSigning(userId: string, body: JsonObject): CrossSigningUpload {
  const upload = new Map<CrossSigningUsage, JsonObject>();
  for (const [field, usage] of fields) {
    const key = optionalObject(body, field);
    if (key === undefined) continue;
    if (key.user_id !== userId) throw invalidParam(`${field} must name the user of the access token`);
    const keys = own(key, "keys");
    if (!isObject(keys) || Object.keys(keys).length !== 1)
      throw badJson(`${field} must have exactly one key`);
    if (!Array.isArray(key.usage) || !key.usage.includes(usage))
      throw badJson(`${field} must have the usage ${usage}`);
    upload.set(usage, key);
  }
  return Object.fromEntries(upload);
}

/** What an upload would do to the keys that are there. */
export function uploadEffect(
  app: App,
  userId: string,
  upload: CrossSigningUpload,
): "nothing" | "first" | "replaces" {
  const { crypto } = app.store;
  const changed = usages(upload).filter(
    ([usage, key]) => !samePublicKey(crypto.crossSigningKey(userId, usage), key),
  );
  if (changed.length === 0) return "nothing";
  return crypto.crossSigningKey(userId, "master") === undefined ? "first" : "replaces";
}

/** Keeps the keys; self-signing and user-signing keys need a master key to belong to. */
export function storeCrossSigning(app: App, userId: string, upload: CrossSigningUpload): void {
  const { crypto, db } = app.store;
  if (
    upload.master === undefined &&
    crypto.crossSigningKey(userId, "master") === undefined &&
    usages(upload).length > 0
  ) {
    throw new MatrixError(400, "M_MISSING_PARAM", "the first upload needs a master key");
  }
  const master = upload.master ?? crypto.crossSigningKey(userId, "master");
  for (const [usage, key] of usages(upload)) {
    if (usage !== "master" && !isSignedBy(master, userId, key)) {
      throw invalidSignature(`the ${usage} key is not signed by the master key`);
    }
  }
  db.transaction(() => {
    for (const [usage, key] of usages(upload)) {
      const before = crypto.crossSigningKey(userId, usage);
      if (before !== undefined && !samePublicKey(before, key))
        crypto.deleteSignatures(userId, publicKeyOf(before));
      crypto.setCrossSigningKey(userId, usage, key);
    }
    announceDeviceChange(app, userId);
  });
}

function usages(upload: CrossSigningUpload): [CrossSigningUsage, JsonObject][] {
  return fields.flatMap(([, usage]) => {
    const key = upload[usage];
    return key === undefined ? [] : [[usage, key] as [CrossSigningUsage, JsonObject]];
  });
}

function isSignedBy(master: JsonObject | undefined, userId: string, key: JsonObject): boolean {
  const publicKey = master === undefined ? "" : publicKeyOf(master);
  return signaturesBy(userId, key).some(
    ([keyId, signature]) => keyId === `ed25519:${publicKey}` && signatureIsBy(publicKey, signature, key),
  );
}

function samePublicKey(one: JsonObject | undefined, other: JsonObject): boolean {
  return one !== undefined && publicKeyOf(one) === publicKeyOf(other);
}

/**
 * POST /keys/signatures/upload: signatures on one's own devices and keys, and on others' master keys.
 * Each stands alone: what fails is in `failures`, with its reason.
 */
export function uploadSignatures(app: App, signer: string, body: JsonObject): JsonObject {
  const { db, crypto } = app.store;
  const failures: [string, JsonObject][] = [];
  const changed = new Set<string>();
  db.transaction(() => {
    for (const [owner, objects] of Object.entries(body)) {
      if (!isObject(objects)) throw badJson("the body must map users to keys");
      const failed: [string, JsonObject][] = [];
      for (const [name, signedObject] of Object.entries(objects)) {
        const refusal = checkTarget(app, signer, owner, name, signedObject);
        if (refusal !== undefined) {
          failed.push([name, { ...refusal.toJSON(), status: refusal.status }]);
          continue;
        }
        for (const [keyId, signature] of signaturesBy(signer, signedObject)) {
          crypto.addSignature(owner, name, signer, keyId, signature);
          changed.add(owner === signer ? owner : signer);
        }
      }
      if (failed.length > 0) failures.push([owner, Object.fromEntries(failed)]);
    }
    for (const userId of changed) announceDeviceChange(app, userId);
  });
  return { failures: Object.fromEntries(failures) };
}

function checkTarget(
  app: App,
  signer: string,
  owner: string,
  name: string,
  signedObject: unknown,
): MatrixError | undefined {
  const { crypto } = app.store;
  const stored = signer === owner ? ownTarget(app, owner, name) : crypto.crossSigningKey(owner, "master");
  const known = stored !== undefined && (signer === owner || publicKeyOf(stored) === name);
  if (!known) return new MatrixError(404, "M_NOT_FOUND", `there is no key ${name} to sign`);
  if (!isObject(signedObject)) return invalidSignature("what was signed must be an object");
  if (JSON.stringify(sorted(own(signedObject, "keys"))) !== JSON.stringify(sorted(own(stored, "keys")))) {
    return invalidSignature("what was signed is not the key that is stored");
  }
  const signatures = signaturesBy(signer, signedObject);
  const valid = signatures.every(([keyId, signature]) => {
    const key = signingKey(app, signer, keyId);
    return key !== undefined && signatureIsBy(key, signature, signedObject);
  });
  return valid && signatures.length > 0
    ? undefined
    : invalidSignature("there is no valid signature by your keys");
}

function invalidSignature(what: string): MatrixError {
  return new MatrixError(400, "M_INVALID_SIGNATURE", what);
}

/** The public key that a key id (`ed25519:…`) of a user stands for: of a device, or a cross-signing key. */
function signingKey(app: App, userId: string, keyId: string): string | undefined {
  const { crypto } = app.store;
  const name = keyId.slice(keyId.indexOf(":") + 1);
  const device = crypto.deviceKeys(userId, name)?.keys;
  const ofDevice = isObject(device) ? own(device, keyId) : undefined;
  if (typeof ofDevice === "string") return ofDevice;
  return (["master", "self_signing", "user_signing"] as const)
    .map((usage) => crypto.crossSigningKey(userId, usage))
    .map((key) => (key === undefined ? "" : publicKeyOf(key)))
    .find((key) => key === name);
}

function ownTarget(app: App, userId: string, name: string): JsonObject | undefined {
  const { crypto } = app.store;
  const device = crypto.deviceKeys(userId, name);
  if (device !== undefined) return device;
  const master = crypto.crossSigningKey(userId, "master");
  return master !== undefined && publicKeyOf(master) === name ? master : undefined;
}

function sorted(keys: unknown): unknown {
  return isObject(keys) ? Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1)) : keys;
}
