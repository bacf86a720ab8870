import type { DatabaseSync } from "node:sqlite";
import { mxError } from "@mx-agent/base";
import { schemaV1 } from "./schema.ts";

/** Each entry brings the database from the version of its index to the next one. */
const migrations: readonly string[] = [schemaV1];

const SCHEMA_VERSION: number = migrations.length;

/**
 * Brings a database to the current schema, each step in a transaction of its own.
 * A database of a later program is refused untouched (MX_STORE_NEWER).
 */
export function migrate(sqlite: DatabaseSync): void {
  const row = sqlite.prepare("PRAGMA user_version").get() as { user_version: number };
  if (row.user_version > SCHEMA_VERSION) {
    throw mxError("MX_STORE_NEWER", {
      file: sqlite.location() ?? "the homeserver's store",
      found: row.user_version,
      known: SCHEMA_VERSION,
      version: "the version that wrote it",
    });
  }
  for (let version = row.user_version; version < SCHEMA_VERSION; version++) {
    const step = migrations[version];
    if (step === undefined) break;
    sqlite.exec("BEGIN IMMEDIATE");
    // Another process may have done it while this one waited for the lock.
    const now = sqlite.prepare("PRAGMA user_version").get() as { user_version: number };
    if (now.user_version === version) sqlite.exec(`${step}; PRAGMA user_version = ${version + 1}`);
    sqlite.exec("COMMIT");
  }
}
