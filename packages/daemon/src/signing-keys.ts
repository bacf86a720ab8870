import { createHash } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { mxError, readPrivateFile, writeFileAtomic } from "@mx-agent/base";
import { exportSeed, generateSigningKey, importSigningKey, type SigningKey } from "@mx-agent/protocol";

/** The signing key of a Matrix user: made once, kept as its 32-byte seed in a 0600 file. */
export function signingKeyOf(dir: string, user_id: string): SigningKey {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, `${createHash("sha256").update(user_id).digest("hex")}.seed`);
  if (existsSync(file)) {
    const seed = Buffer.from(readPrivateFile(file)?.toString("utf8").trim() ?? "", "base64");
    if (seed.length !== 32)
      throw mxError("MX_STORE_DAMAGED", {
        file,
        detail: "it does not hold a signing key",
        hint: "restore it from a backup, or move it away; peers then have to approve a new key",
      });
    return importSigningKey(seed);
  }
  const key = generateSigningKey();
  writeFileAtomic(file, exportSeed(key).toString("base64"));
  return key;
}
