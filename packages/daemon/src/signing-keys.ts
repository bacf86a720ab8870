import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mxError, readPrivateFile, writeFileAtomic } from "@mx-agent/base";
import { exportSeed, generateSigningKey, importSigningKey, type SigningKey } from "@mx-agent/protocol";
import type { Earlier } from "./identity.ts";
import type { Settings } from "./state/settings.ts";

const DEVICES = "own_devices";

const ENDINGS = { key: ".seed", next: ".next", retired: ".retired" } as const;

/** The ids of all keys that this daemon has, or had, for any account. */
export function ownKeyIds(dir: string): string[] {
  if (!existsSync(dir)) return [];
  const names = readdirSync(dir);
  const current = names.filter((name) => name.endsWith(ENDINGS.key));
  const retired = names.filter((name) => name.endsWith(ENDINGS.retired));
  return [
    ...current.map((name) => readKey(join(dir, name)).key_id),
    ...retired.map((name) => readPrivateFile(join(dir, name))?.toString("utf8").trim() ?? ""),
  ];
}

/** What this daemon was under earlier keys and logins; the device that it has now is remembered with them. */
export function earlierSelf(settings: Settings, dir: string, device_id: string): Earlier {
  const known = settings.get(DEVICES);
  const before = Array.isArray(known) ? known.filter((one) => typeof one === "string") : [];
  const device_ids = [...new Set([...before, device_id])];
  if (device_ids.length > before.length) settings.set(DEVICES, device_ids);
  return { key_ids: ownKeyIds(dir), device_ids };
}

/** The signing key of a Matrix user, where there is one. */
export function existingKeyOf(dir: string, user_id: string): SigningKey | undefined {
  const file = fileOf(dir, user_id, "key");
  return existsSync(file) ? readKey(file) : undefined;
}

/** The signing key of a Matrix user: made once, kept as its 32-byte seed in a 0600 file. */
export function signingKeyOf(dir: string, user_id: string): SigningKey {
  return readOrMake(dir, fileOf(dir, user_id, "key"));
}

/** The key that is to follow; made once, and not used before `promoteNextKey`. */
export function nextKeyOf(dir: string, user_id: string): SigningKey {
  return readOrMake(dir, fileOf(dir, user_id, "next"));
}

/** Gives up the key that was to follow. */
export function dropNextKey(dir: string, user_id: string): void {
  rmSync(fileOf(dir, user_id, "next"), { force: true });
}

/** The next key becomes the key. Of the one before only its id is kept: its checkpoints are still this daemon's. */
export function promoteNextKey(dir: string, user_id: string): void {
  const { key_id, fingerprint } = signingKeyOf(dir, user_id);
  const next = nextKeyOf(dir, user_id);
  const name = createHash("sha256").update(fingerprint).digest("hex").slice(0, 16);
  writeFileAtomic(join(dir, `${name}${ENDINGS.retired}`), key_id);
  writeFileAtomic(fileOf(dir, user_id, "key"), exportSeed(next).toString("base64"));
  dropNextKey(dir, user_id);
}

function fileOf(dir: string, user_id: string, what: "key" | "next"): string {
  return join(dir, `${createHash("sha256").update(user_id).digest("hex")}${ENDINGS[what]}`);
}

function readOrMake(dir: string, file: string): SigningKey {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (existsSync(file)) return readKey(file);
  const key = generateSigningKey();
  writeFileAtomic(file, exportSeed(key).toString("base64"));
  return key;
}

function readKey(file: string): SigningKey {
  const seed = Buffer.from(readPrivateFile(file)?.toString("utf8").trim() ?? "", "base64");
  if (seed.length === 32) return importSigningKey(seed);
  throw mxError("MX_STORE_DAMAGED", {
    file,
    detail: "it does not hold a signing key",
    hint: "restore it from a backup, or move it away; peers then have to approve a new key",
  });
}
