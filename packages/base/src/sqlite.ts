/** What our SQLite files have in common. An entry of its own (`@mx-agent/base/sqlite`): commands load no database. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { syncDirectory } from "./files.ts";
import { MxError, mxError } from "./mx-error.ts";

/** Looks at a file alone, as if it could not change, whoever owns it: it stays as it is, its log included. */
export function lookAt<T>(file: string, look: (db: DatabaseSync) => T): T {
  const url = pathToFileURL(file);
  url.searchParams.set("immutable", "1");
  const db = new DatabaseSync(url, { readOnly: true });
  try {
    return look(db);
  } finally {
    db.close();
  }
}

/** Looks at a file that is there, and leaves one of a later format than `known` untouched: MX_STORE_NEWER. */
export function refuseNewer(file: string, known: number): void {
  try {
    lookAt(file, (db) => formatOf(db, file, known));
  } catch (error) {
    if (error instanceof MxError) throw error;
    // A file that its owner is writing to may look damaged from outside; what it is, opening it will say.
  }
}

/** The format that `user_version` says; MX_STORE_NEWER for a later one than `known`. */
export function formatOf(db: DatabaseSync, file: string, known: number): number {
  const found = Number(db.prepare("PRAGMA user_version").get()?.user_version ?? 0);
  if (found <= known) return found;
  throw mxError("MX_STORE_NEWER", { file, found, known, version: writerOf(db) ?? "of a later format" });
}

/** The version of mx-agent that last opened it, by its table `meta`; undefined where there is none of our kind. */
export function writerOf(db: DatabaseSync): string | undefined {
  const row = db.prepare("SELECT 1 AS hit FROM sqlite_schema WHERE name = 'meta'").get()
    ? db.prepare("SELECT * FROM meta WHERE key = 'version'").get()
    : undefined;
  return typeof row?.value === "string" ? row.value : undefined;
}

/** A whole copy, 0600, log included, that is complete or not there. */
export function copyDatabase(db: DatabaseSync, target: string): void {
  const temporary = `${target}.new`;
  rmSync(temporary, { force: true });
  closeSync(openSync(temporary, "wx", 0o600));
  db.prepare("VACUUM INTO ?").run(temporary);
  const descriptor = openSync(temporary, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, target);
  syncDirectory(dirname(target));
}
