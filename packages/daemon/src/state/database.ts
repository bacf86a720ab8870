import { chmodSync, copyFileSync, existsSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { mxError } from "@mx-agent/base";

/** One step from a format to the next; runs once, inside of a transaction. */
export type Migration = string | ((db: DatabaseSync) => void);

export interface DatabaseOptions {
  file: string;
  /** migrations[0] makes format 1. Never edited once released; only appended to. */
  migrations: readonly Migration[];
  /** Version of mx-agent, stored so that an older one can name what it needs. */
  version: string;
}

/**
 * A SQLite database of ours: WAL, synchronous=FULL, 0600, one writer by an exclusive lock that is held for
 * life, format in user_version. A newer format is refused untouched (MX_STORE_NEWER); an older one is
 * migrated in one transaction, after a copy beside it.
 */
export class Database {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;

  constructor(options: DatabaseOptions) {
    const { file, migrations } = options;
    const existed = existsSync(file);
    this.#db = open(file);
    try {
      this.#db.exec("PRAGMA locking_mode = EXCLUSIVE");
      const found = Number(this.#db.prepare("PRAGMA user_version").get()?.user_version ?? 0);
      if (found > migrations.length) {
        const row = this.#db.prepare("SELECT value FROM meta WHERE key = 'version'").get();
        throw mxError("MX_STORE_NEWER", {
          file,
          found,
          known: migrations.length,
          version: String(row?.value ?? "of a later format"),
        });
      }
      if (existed && found > 0 && found < migrations.length) {
        copyFileSync(file, `${file}.format-${found}`);
        chmodSync(`${file}.format-${found}`, 0o600);
      }
      this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
      this.transaction(() => {
        for (const migration of migrations.slice(found)) {
          if (typeof migration === "string") this.#db.exec(migration);
          else migration(this.#db);
        }
        this.#db.exec("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT");
        this.#db
          .prepare(
            "INSERT INTO meta VALUES ('version', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
          )
          .run(options.version);
        this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
      });
      chmodSync(file, 0o600);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** A prepared statement, kept for the life of the database. */
  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  run(sql: string, ...values: SQLInputValue[]): { changes: number; lastInsertRowid: number } {
    const { changes, lastInsertRowid } = this.#statement(sql).run(...values);
    return { changes: Number(changes), lastInsertRowid: Number(lastInsertRowid) };
  }

  get(sql: string, ...values: SQLInputValue[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
    return this.#statement(sql).all(...values);
  }

  /**
   * Runs `work` in a transaction and commits it durably; whatever it throws rolls everything back. Calls
   * nest: the outermost one commits. `work` is synchronous, so no other transaction can come in between.
   */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#db.exec("BEGIN IMMEDIATE");
    this.#depth++;
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    } finally {
      this.#depth--;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }
}

function open(file: string): DatabaseSync {
  try {
    return new DatabaseSync(file, { timeout: 2_000 });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw mxError("MX_CANNOT_WRITE", {
      path: file,
      detail,
      hint: "check the directory's permissions and free space",
    });
  }
}
