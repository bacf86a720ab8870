import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { mxError, syncDirectory } from "@mx-agent/base";
import { cannotWrite, damaged } from "./sqlite-error.ts";

const KEY_BYTES = 32;

/**
 * The key that encrypts what the SDK stores (`initRustCrypto({ storageKey })`), 32 bytes, kept in a file of
 * its own, 0600. Made once, whole or not at all, and never overwritten: without it the store can't be read.
 * With `missing: "refuse"` a key that is gone is MX_STORE_MISSING; one that is not 32 bytes, MX_STORE_DAMAGED.
 */
export function storageKey(file: string, options: { missing?: "create" | "refuse" } = {}): Uint8Array {
  try {
    if (!existsSync(file)) {
      if (options.missing === "refuse") throw mxError("MX_STORE_MISSING", { file });
      create(file);
    }
    chmodSync(file, 0o600);
    const key = readFileSync(file);
    if (key.length !== KEY_BYTES) throw damaged(file, `a key of ${key.length} bytes instead of ${KEY_BYTES}`);
    return new Uint8Array(key);
  } catch (error) {
    if (error instanceof Error && "syscall" in error) throw cannotWrite(file, error.message, error);
    throw error;
  }
}

function create(file: string): void {
  const temporary = `${file}.new-${randomBytes(6).toString("hex")}`;
  try {
    const descriptor = openSync(temporary, "wx", 0o600);
    writeSync(descriptor, randomBytes(KEY_BYTES));
    fsyncSync(descriptor);
    closeSync(descriptor);
    // A link never replaces: of two that are made at once, the first one stays.
    linkSync(temporary, file);
    syncDirectory(dirname(file));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}
