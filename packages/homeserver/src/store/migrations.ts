import type { DatabaseSync } from "node:sqlite";
import { version as programVersion } from "@mx-agent/base";
import { copyDatabase, formatOf, writerOf } from "@mx-agent/base/sqlite";
import { schemaV1, schemaV2 } from "./schema.ts";

/** Each entry brings the database from the version of its index to the next one. Never edited once released. */
const ours: readonly string[] = [schemaV1, schemaV2];

/** The format that this program writes. */
export const FORMAT: number = ours.length;

/**
 * Brings a database to the current format, in one transaction and after a copy (`FILE.format-N`). One of a later
 * program is refused (MX_STORE_NEWER). Others may open it at the same time; who comes second finds it done.
 */
export function migrate(sqlite: DatabaseSync, file: string | undefined, migrations = ours): void {
  const name = file ?? "the homeserver's store";
  const format = () => formatOf(sqlite, name, migrations.length);
  const found = format();
  if (found < migrations.length || writerOf(sqlite) !== programVersion()) {
    if (file !== undefined && found > 0 && found < migrations.length)
      copyDatabase(sqlite, `${file}.format-${found}`);
    step(sqlite, format, migrations);
  }
  // So that the format in the file itself is true, and a look at it need not read the log.
  sqlite.exec("PRAGMA wal_checkpoint(PASSIVE)");
}

function step(sqlite: DatabaseSync, format: () => number, migrations: readonly string[]): void {
  sqlite.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of migrations.slice(format())) sqlite.exec(migration);
    sqlite.exec(`PRAGMA user_version = ${migrations.length}`);
    // So that an older program can name what it needs.
    sqlite
      .prepare("INSERT INTO meta VALUES ('version', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
      .run(programVersion());
    sqlite.exec("COMMIT");
  } catch (error) {
    if (sqlite.isTransaction) sqlite.exec("ROLLBACK");
    throw error;
  }
}
