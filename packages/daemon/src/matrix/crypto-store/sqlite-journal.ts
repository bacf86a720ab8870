import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { failpoint } from "@mx-agent/base";
import type { Change, Journal, StoredDatabase, Write } from "./change.ts";
import type { ByteRange } from "./key.ts";
import type { DatabaseSchema } from "./schema.ts";
import { damaged } from "./sqlite-error.ts";

/** Reads and writes the tables of an open file; whoever opened the file closes it. */
export class SqliteJournal implements Journal {
  readonly #file: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Whether a change waits for others. */
  #together = false;
  /** Whether the last ones that did are written, and the disk may not have them. */
  #behind = false;

  constructor(file: string, db: DatabaseSync) {
    this.#file = file;
    this.#db = db;
  }

  commit(change: Change): void {
    if (this.#together) {
      this.#apply(change);
      return;
    }
    this.#run("BEGIN IMMEDIATE");
    try {
      this.#apply(change);
      this.#commit();
      this.#behind = false;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  begin(): void {
    this.#db.exec("PRAGMA synchronous = NORMAL");
    this.#run("BEGIN IMMEDIATE");
    this.#together = true;
  }

  end(): void {
    this.#together = false;
    this.#behind = true;
    this.#commit();
    this.#db.exec("PRAGMA synchronous = FULL");
  }

  /** A commit syncs the log, and with it those that came before. */
  sync(): void {
    if (!this.#behind) return;
    this.#run("INSERT OR REPLACE INTO meta VALUES ('synced', 'yes')");
    this.#behind = false;
  }

  #commit(): void {
    failpoint("crypto-store.before-commit");
    this.#run("COMMIT");
    failpoint("crypto-store.after-commit");
  }

  /** Everything that is in the file, its sums checked; MX_STORE_DAMAGED. */
  load(): StoredDatabase[] {
    const databases = this.#prepared("SELECT name, schema, sum FROM databases ORDER BY name")
      .all()
      .map((row) => this.#database(row));
    const stores = new Set(databases.flatMap(({ schema }) => schema.stores.map(({ id }) => id)));
    const owners = this.#prepared("SELECT store FROM records UNION SELECT store FROM generators").all();
    const orphan = owners.find((row) => !stores.has(Number(row.store)));
    if (orphan) throw damaged(this.#file, `records of an object store ${orphan.store} that is not known`);
    return databases;
  }

  #database(row: Record<string, unknown>): StoredDatabase {
    const name = String(row.name);
    const json = String(row.schema);
    if (row.sum !== sum(0, name, json))
      throw damaged(this.#file, `the schema of ${name} does not match its sum`);
    const schema: DatabaseSchema = JSON.parse(json);
    return {
      name: JSON.parse(name),
      schema,
      generators: this.#generators(schema),
      rows: (store) => this.#rows(store),
      keysByAge: (store) => this.#keysByAge(store),
    };
  }

  #generators(schema: DatabaseSchema): Map<number, number> {
    const generators = new Map<number, number>();
    for (const { id } of schema.stores) {
      const row = this.#prepared("SELECT value, sum FROM generators WHERE store = ?").get(id);
      if (!row) continue;
      if (row.sum !== sum(id, String(row.value)))
        throw damaged(this.#file, `the key generator of object store ${id} does not match its sum`);
      generators.set(id, Number(row.value));
    }
    return generators;
  }

  *#rows(store: number): Generator<{ key: Uint8Array; value: Uint8Array }> {
    const rows = this.#prepared("SELECT key, value, sum FROM records WHERE store = ? ORDER BY key").iterate(
      store,
    );
    for (const { key, value, sum: expected } of rows) {
      if (!(key instanceof Uint8Array && value instanceof Uint8Array))
        throw damaged(this.#file, `a record of object store ${store} is not bytes`);
      if (expected !== sum(store, key, value))
        throw damaged(this.#file, `a record of object store ${store} does not match its sum`);
      yield { key, value };
    }
  }

  /** SQLite numbers rows as they come, and one that is written again keeps its number. */
  *#keysByAge(store: number): Generator<Uint8Array> {
    const rows = this.#prepared("SELECT key FROM records WHERE store = ? ORDER BY rowid").iterate(store);
    for (const { key } of rows) if (key instanceof Uint8Array) yield key;
  }

  #apply(change: Change): void {
    for (const store of change.removedStores) {
      this.#run("DELETE FROM records WHERE store = ?", store);
      this.#run("DELETE FROM generators WHERE store = ?", store);
    }
    const name = JSON.stringify(change.database);
    if (change.schema === null) this.#run("DELETE FROM databases WHERE name = ?", name);
    else if (change.schema) {
      const schema = JSON.stringify(change.schema);
      this.#run("INSERT OR REPLACE INTO databases VALUES (?, ?, ?)", name, schema, sum(0, name, schema));
    }
    for (const write of change.writes) this.#write(write);
    for (const [store, value] of change.generators)
      this.#run(
        "INSERT OR REPLACE INTO generators VALUES (?, ?, ?)",
        store,
        value,
        sum(store, String(value)),
      );
  }

  #write(write: Write): void {
    switch (write.kind) {
      case "put":
        this.#run(
          "INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT (store, key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
          write.store,
          write.key,
          write.value,
          sum(write.store, write.key, write.value),
        );
        break;
      case "delete":
        this.#deleteRange(write.store, write.range);
        break;
      case "clear":
        this.#run("DELETE FROM records WHERE store = ?", write.store);
        break;
    }
  }

  #deleteRange(store: number, { lower, upper, lowerOpen, upperOpen }: ByteRange): void {
    const bounds: SQLInputValue[] = [];
    let where = "store = ?";
    if (lower) {
      where += lowerOpen ? " AND key > ?" : " AND key >= ?";
      bounds.push(lower);
    }
    if (upper) {
      where += upperOpen ? " AND key < ?" : " AND key <= ?";
      bounds.push(upper);
    }
    this.#run(`DELETE FROM records WHERE ${where}`, store, ...bounds);
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#prepared(sql).run(...values);
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** CRC-32 over the two parts of a row, seeded with the store that it belongs to. */
function sum(store: number, key: string | Uint8Array, value: string | Uint8Array = ""): number {
  return crc32(value, crc32(key, store));
}
