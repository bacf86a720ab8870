import type { DatabaseSync } from "node:sqlite";

/**
 * Format 1. A database's schema is one row of JSON; names are JSON strings, since SQLite's text can't hold
 * every JavaScript string. `sum` is a CRC-32 over everything in the row: SQLite itself does not notice a bit
 * that has flipped in a value, and a store that reads as another one would be a new device without a word.
 */
export const TABLES = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE databases (name TEXT PRIMARY KEY, schema TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;
  CREATE TABLE generators (store INTEGER PRIMARY KEY, value REAL NOT NULL, sum INTEGER NOT NULL) STRICT;
  CREATE TABLE records (
    store INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, sum INTEGER NOT NULL,
    UNIQUE (store, key)
  ) STRICT;
`;

/** "MXCS" in the file's header: what else is a SQLite database is not one of these. */
export const APPLICATION_ID = 0x4d584353;

/** One step from a format to the next. */
export type Migration = (db: DatabaseSync) => void;

/** migrations[0] leads from format 1 to 2. Never edited once released, only appended to. */
export const migrations: readonly Migration[] = [];
