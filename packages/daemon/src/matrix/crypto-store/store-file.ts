import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, existsSync, linkSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { mxError, syncDirectory } from "@mx-agent/base";
import { copyDatabase, lookAt } from "@mx-agent/base/sqlite";
import { damaged, openError } from "./sqlite-error.ts";
import { APPLICATION_ID, type Migration, migrations as ours, TABLES } from "./tables.ts";
import { valueFormat } from "./value.ts";

export interface StoreFileOptions {
  file: string;
  /** Version of mx-agent, kept in the file so that an older one can name what it needs. */
  version: string;
  /** Whether a missing file is made, or refused (MX_STORE_MISSING) because there has been one. */
  missing: "create" | "refuse";
  migrations?: readonly Migration[];
}

/**
 * Opens the store's file and owns it by an exclusive lock until the connection is closed. WAL,
 * synchronous=FULL: a COMMIT returns when it is on disk. 0600 from the start.
 *
 * Nothing here opens the file but SQLite: closing any other descriptor of it would drop the process's
 * POSIX locks on it, and with them the lock of an owner in this same process.
 *
 * MX_STORE_LOCKED, MX_STORE_NEWER, MX_STORE_DAMAGED, MX_STORE_MISSING, MX_CANNOT_WRITE.
 */
export function openStoreFile(options: StoreFileOptions): DatabaseSync {
  const { file, version, missing, migrations = ours } = options;
  let db: DatabaseSync | undefined;
  try {
    if (!existsSync(file)) {
      if (existsSync(`${file}-wal`))
        throw damaged(file, "it is gone, but its write-ahead log is still there");
      if (missing === "refuse") throw mxError("MX_STORE_MISSING", { file });
      create(file, migrations);
    }
    // What is newer, or not a store at all, stays as it is.
    lookAt(file, (found) => assertFormat(file, found, 1 + migrations.length));
    chmodSync(file, 0o600);
    db = new DatabaseSync(file, { timeout: 0 });
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF");
    db.exec("BEGIN EXCLUSIVE; COMMIT");
    const found = assertKnown(file, db, migrations);
    assertIntact(file, db);
    // On macOS fsync alone leaves data in the drive's cache.
    db.exec("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON");
    db.exec("PRAGMA journal_mode = WAL");
    if (found < 1 + migrations.length) migrate(file, db, found, migrations);
    noteWriter(db, version);
    // So that the format in the file itself is true, and the look before need not look into the log.
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return db;
  } catch (error) {
    db?.close();
    throw openError(file, error);
  }
}

/** Complete under another name first, so that an empty or half-made file is never taken for a new store. */
function create(file: string, migrations: readonly Migration[]): void {
  const temporary = `${file}.new-${randomBytes(6).toString("hex")}`;
  try {
    closeSync(openSync(temporary, "wx", 0o600));
    const db = new DatabaseSync(temporary);
    try {
      db.exec("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; BEGIN");
      db.exec(`${TABLES}; PRAGMA application_id = ${APPLICATION_ID}`);
      for (const migration of migrations) migration(db);
      db.exec(`PRAGMA user_version = ${1 + migrations.length}; COMMIT`);
    } finally {
      db.close();
    }
    linkSync(temporary, file);
  } catch (error) {
    // Somebody else made it at the same moment; who owns it is decided by the lock.
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  // A new name is durable only when its directory is.
  syncDirectory(dirname(file));
}

/** The file's format; throws where it is not a store of ours, or a newer one. */
function assertFormat(file: string, db: DatabaseSync, known: number): number {
  const found = pragma(db, "user_version");
  if (pragma(db, "application_id") !== APPLICATION_ID || found < 1)
    throw damaged(file, "it is not a crypto store of mx-agent");
  if (found > known) {
    const version = readMeta(db).get("version") ?? "of a later format";
    throw mxError("MX_STORE_NEWER", { file, found, known, version });
  }
  return found;
}

/** As assertFormat, and that this V8 reads the values. */
function assertKnown(file: string, db: DatabaseSync, migrations: readonly Migration[]): number {
  const known = 1 + migrations.length;
  const found = assertFormat(file, db, known);
  const meta = readMeta(db);
  const values = Number(meta.get("value_format") ?? valueFormat);
  if (values > valueFormat)
    throw mxError("MX_STORE_NEWER", {
      file,
      found: `${found}, with values of V8's format ${values}`,
      known: `${known}, with ${valueFormat}`,
      version: `${meta.get("version")}, on Node ${meta.get("node")}`,
    });
  return found;
}

/** Empty where a later format has no such table. */
function readMeta(db: DatabaseSync): Map<string, string> {
  if (!db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get()) return new Map();
  const rows = db.prepare("SELECT name, value FROM meta").all();
  return new Map(rows.map((row) => [String(row.name), String(row.value)]));
}

function assertIntact(file: string, db: DatabaseSync): void {
  const [row] = db.prepare("PRAGMA integrity_check(1)").all();
  if (row?.integrity_check !== "ok") throw damaged(file, String(row?.integrity_check));
}

/** All steps in one transaction, after a copy: `FILE.format-N`. */
function migrate(file: string, db: DatabaseSync, found: number, migrations: readonly Migration[]): void {
  copyDatabase(db, `${file}.format-${found}`);
  db.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of migrations.slice(found - 1)) migration(db);
    db.exec(`PRAGMA user_version = ${1 + migrations.length}; COMMIT`);
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function noteWriter(db: DatabaseSync, version: string): void {
  const note = db.prepare(
    "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
  );
  note.run("version", version);
  note.run("node", process.versions.node);
  note.run("value_format", String(valueFormat));
}

function pragma(db: DatabaseSync, name: "user_version" | "application_id"): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}
