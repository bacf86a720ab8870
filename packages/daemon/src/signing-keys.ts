import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { mxError, readPrivateFile, writeFileAtomic } from "@mx-agent/base";
import { exportSeed, generateSigningKey, importSigningKey, type SigningKey } from "@mx-agent/protocol";
import type { Earlier } from "./identity.ts";
import type { Settings } from "./state/settings.ts";

const DEVICES = "own_devices";

/** The ids of all keys that this daemon has, or had, for any account. */
export function ownKeyIds(dir: string): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((name) => name.endsWith(".seed"))
    .map((name) => readKey(join(dir, name)).key_id);
}

/** What this daemon was under earlier keys and logins; the device that it has now is remembered with them. */
export function earlierSelf(settings: Settings, dir: string, device_id: string): Earlier {
  const known = settings.get(DEVICES);
  const before = Array.isArray(known) ? known.filter((one) => typeof one === "string") : [];
  const device_ids = [...new Set([...before, device_id])];
  if (device_ids.length > before.length) settings.set(DEVICES, device_ids);
  return { key_ids: ownKeyIds(dir), device_ids };
}

/** The signing key of a Matrix user: made once, kept as its 32-byte seed in a 0600 file. */
export function signingKeyOf(dir: string, user_id: string): SigningKey {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, `${createHash("sha256").update(user_id).digest("hex")}.seed`);
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
