import { chmodSync, closeSync, existsSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { failpoint, type MxError, mxError } from "@mx-agent/base";
import { copyDatabase, formatOf, refuseNewer } from "@mx-agent/base/sqlite";

/** One step from a format to the next; runs once, inside of a transaction. */
export type Migration = string | ((db: DatabaseSync) => void);

export interface DatabaseOptions {
  file: string;
  /** migrations[0] makes format 1. Never edited once released; only appended to. */
  migrations: readonly Migration[];
  /** Version of mx-agent, stored so that an older one can name what it needs. */
  version: string;
  /** How long to wait for another owner to let go, milliseconds. */
  waitMs?: number;
}

/**
 * A SQLite database of ours: WAL, synchronous=FULL, 0600, one writer by an exclusive lock that is held for
 * life, format in user_version. A newer format is refused untouched (MX_STORE_NEWER); an older one is
 * migrated in one transaction, after a copy beside it (`FILE.format-N`).
 *
 * Nothing here opens the file but SQLite: closing any other descriptor of it would drop the process's POSIX
 * locks on it, and with them the exclusive one.
 */
export class Database {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;

  constructor(options: DatabaseOptions) {
    const { file, migrations, version, waitMs = 2_000 } = options;
    if (existsSync(file)) refuseNewer(file, migrations.length);
    else create(file);
    chmodSync(file, 0o600);
    this.#db = open(file, waitMs);
    try {
      this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT");
      const found = formatOf(this.#db, file, migrations.length);
      this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
      if (found > 0 && found < migrations.length) copyDatabase(this.#db, `${file}.format-${found}`);
      this.transaction(() => this.#migrate(found, migrations, version));
      // So that the format in the file itself is true, and a look at it need not read the log.
      this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      this.#db.close();
      throw isDamaged(error) ? damaged(file, error) : error;
    }
  }

  #migrate(found: number, migrations: readonly Migration[], version: string): void {
    for (const migration of migrations.slice(found)) {
      if (typeof migration === "string") this.#db.exec(migration);
      else migration(this.#db);
    }
    this.#db.exec("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT");
    this.#db
      .prepare(
        "INSERT INTO meta VALUES ('version', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
      )
      .run(version);
    if (found < migrations.length) this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
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

  /** One statement that writes: a transaction of its own where there is none. */
  run(sql: string, ...values: SQLInputValue[]): { changes: number; lastInsertRowid: number } {
    const alone = this.#depth === 0;
    if (alone) failpoint("state.before_commit");
    const { changes, lastInsertRowid } = this.#statement(sql).run(...values);
    if (alone) failpoint("state.after_commit");
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
      failpoint("state.before_commit");
      this.#db.exec("COMMIT");
      failpoint("state.after_commit");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    } finally {
      this.#depth--;
    }
  }

  /**
   * As `transaction`, for what may be lost with the machine's power, though not with this process, because what it
   * follows from is durable and leads to it again. The next durable one takes it to the disk, in order. Inside of
   * another transaction it is a part of that.
   */
  passingTransaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#db.exec("PRAGMA synchronous = NORMAL");
    try {
      return this.transaction(work);
    } finally {
      this.#db.exec("PRAGMA synchronous = FULL");
    }
  }

  /** One statement as a `passingTransaction`. */
  runPassing(sql: string, ...values: SQLInputValue[]): { changes: number } {
    return this.passingTransaction(() => this.run(sql, ...values));
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }
}

/** Private from its first byte; SQLite gives its log the same mode. */
function create(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    // Somebody else made it at the same moment; who owns it is decided by the lock.
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST"))
      throw cannotOpen(file, error);
  }
}

function open(file: string, timeout: number): DatabaseSync {
  try {
    return new DatabaseSync(file, { timeout });
  } catch (error) {
    throw cannotOpen(file, error);
  }
}

function cannotOpen(file: string, error: unknown): MxError {
  const detail = error instanceof Error ? error.message : String(error);
  const hint = "check the directory's permissions and free space";
  return mxError("MX_CANNOT_WRITE", { path: file, detail, hint });
}

/** SQLITE_CORRUPT and SQLITE_NOTADB (sqlite3.h), whatever their extended code is. */
function isDamaged(error: unknown): error is Error {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return false;
  return (error.errcode & 0xff) === 11 || (error.errcode & 0xff) === 26;
}

function damaged(file: string, error: Error): MxError {
  const hint =
    "restore a copy that was made while the daemon was stopped; or move it aside (with the files -wal and -shm beside it), log in again, and approve again whom you trust";
  return mxError("MX_STORE_DAMAGED", { file, detail: error.message, hint }, { cause: error });
}
