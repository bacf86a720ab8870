import { closeSync, existsSync, openSync, statSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { refuseNewer } from "@mx-agent/base/sqlite";
import { FORMAT, migrate } from "./migrations.ts";

/** Where the database lives: a file, or memory for a server that keeps nothing. */
export type DatabaseLocation = string | ":memory:";

const CACHE_KIB = 8_192;

/**
 * The one connection to SQLite, with group commit.
 *
 * `transaction()` writes into the open group, which is committed once at the end of the event loop's
 * turn: requests that arrive together share one fsync. Nothing that was read or written counts as
 * durable until `durable()` resolves, and no answer leaves the server before that.
 */
export class Database {
  readonly #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #group: { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } | undefined;
  #depth = 0;
  #onCommit: (() => void)[] = [];
  #onRollback: (() => void)[] = [];
  readonly #resetListeners: (() => void)[] = [];

  constructor(location: DatabaseLocation) {
    if (location !== ":memory:") {
      if (existsSync(location) && statSync(location).size > 0) refuseNewer(location, FORMAT);
      // Password hashes are nobody else's to read, whatever the umask; SQLite's other files take after this one.
      closeSync(openSync(location, "a", 0o600));
    }
    this.#sqlite = new DatabaseSync(location);
    this.#sqlite.exec(
      "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY",
    );
    // Filled in the end, whatever the history; what it does not have is in the system's own cache.
    this.#sqlite.exec(`PRAGMA cache_size=-${CACHE_KIB}`);
    migrate(this.#sqlite, location === ":memory:" ? undefined : location);
  }

  /** The first row, or undefined. */
  get<Row>(sql: string, ...params: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...params) as unknown as Row | undefined;
  }

  /** All rows. */
  all<Row>(sql: string, ...params: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...params) as unknown as Row[];
  }

  /** Writes inside a transaction; answers with the number of rows changed. */
  run(sql: string, ...params: SQLInputValue[]): number {
    if (this.#depth === 0) throw new Error("a write outside of a transaction");
    return Number(this.#statement(sql).run(...params).changes);
  }

  /**
   * Runs `work` as a unit: all of its writes or, when it throws, none. The unit joins the open group
   * commit; await `durable()` before telling anybody.
   */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#openGroup();
    const commits = this.#onCommit.length;
    this.#sqlite.exec("SAVEPOINT unit");
    this.#depth = 1;
    this.#onRollback = [];
    try {
      const result = work();
      this.#sqlite.exec("RELEASE unit");
      return result;
    } catch (error) {
      this.#sqlite.exec("ROLLBACK TO unit; RELEASE unit");
      this.#onCommit.length = commits;
      for (const undo of this.#onRollback) undo();
      throw error;
    } finally {
      this.#depth = 0;
      this.#onRollback = [];
    }
  }

  /** Called once the current group is on disk: where others are told about it. */
  afterCommit(callback: () => void): void {
    this.#onCommit.push(callback);
  }

  /** Called when the current unit is undone: where a cache forgets what it learned from it. */
  afterRollback(callback: () => void): void {
    this.#onRollback.push(callback);
  }

  /** Called when a whole group could not be committed: every cache forgets everything. */
  onReset(listener: () => void): void {
    this.#resetListeners.push(listener);
  }

  /** Resolves when everything written so far is on disk; rejects when it could not be put there. */
  durable(): Promise<void> {
    return this.#group?.promise ?? Promise.resolve();
  }

  close(): void {
    if (this.#group !== undefined) this.#commit();
    this.#statements.clear();
    this.#sqlite.close();
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #openGroup(): void {
    if (this.#group !== undefined) return;
    this.#sqlite.exec("BEGIN IMMEDIATE");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Whoever needs the outcome awaits durable(); without such a reader a failure is not unhandled.
    promise.catch(() => {});
    this.#group = { promise, resolve, reject };
    setImmediate(() => this.#commit());
  }

  #commit(): void {
    const group = this.#group;
    if (group === undefined) return;
    const callbacks = this.#onCommit;
    this.#group = undefined;
    this.#onCommit = [];
    try {
      this.#sqlite.exec("COMMIT");
    } catch (error) {
      if (this.#sqlite.isTransaction) this.#sqlite.exec("ROLLBACK");
      for (const listener of this.#resetListeners) listener();
      group.reject(error);
      return;
    }
    // Those who wait for news come before those who made them.
    try {
      for (const callback of callbacks) callback();
    } finally {
      group.resolve();
    }
  }
}
