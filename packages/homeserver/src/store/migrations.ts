import { existsSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { MxError, mxError, version as programVersion } from "@mx-agent/base";
import { schemaV1 } from "./schema.ts";

/** Each entry brings the database from the version of its index to the next one. */
const migrations: readonly string[] = [schemaV1];

const SCHEMA_VERSION: number = migrations.length;

/**
 * Brings a database to the current schema, each step in a transaction of its own.
 * A database of a later program is refused untouched (MX_STORE_NEWER).
 */
export function migrate(sqlite: DatabaseSync): void {
  const found = knownVersion(sqlite);
  for (let version = found; version < SCHEMA_VERSION; version++) {
    const step = migrations[version];
    if (step === undefined) break;
    sqlite.exec("BEGIN IMMEDIATE");
    // Another process may have done it while this one waited for the lock.
    const now = sqlite.prepare("PRAGMA user_version").get() as { user_version: number };
    if (now.user_version === version) sqlite.exec(`${step}; PRAGMA user_version = ${version + 1}`);
    sqlite.exec("COMMIT");
  }
  // So that an older program can name what it needs.
  if (writerOf(sqlite) !== programVersion())
    sqlite
      .prepare("INSERT INTO meta VALUES ('version', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
      .run(programVersion());
}

/** Looks at a file that is there as if it could not change, so that a newer one stays as it is: MX_STORE_NEWER. */
export function refuseNewer(file: string): void {
  if (!existsSync(file) || statSync(file).size === 0) return;
  const url = pathToFileURL(file);
  url.searchParams.set("immutable", "1");
  let sqlite: DatabaseSync | undefined;
  try {
    sqlite = new DatabaseSync(url, { readOnly: true });
    knownVersion(sqlite, file);
  } catch (error) {
    if (error instanceof MxError) throw error;
    // A file that another process writes to may look damaged from outside; what it is, opening it will say.
  } finally {
    sqlite?.close();
  }
}

function knownVersion(sqlite: DatabaseSync, file = sqlite.location() ?? "the homeserver's store"): number {
  const { user_version } = sqlite.prepare("PRAGMA user_version").get() as { user_version: number };
  if (user_version <= SCHEMA_VERSION) return user_version;
  const details = { file, found: user_version, known: SCHEMA_VERSION, version: writerOf(sqlite) };
  throw mxError("MX_STORE_NEWER", details);
}

/** The version of mx-agent that last opened it, where its format still says so in our way. */
function writerOf(sqlite: DatabaseSync): string {
  const meta = sqlite.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get();
  const row =
    meta === undefined ? undefined : sqlite.prepare("SELECT * FROM meta WHERE key = 'version'").get();
  return typeof row?.value === "string" ? row.value : "of a later format";
}
