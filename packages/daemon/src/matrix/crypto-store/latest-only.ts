import type { StoredDatabase, Write } from "./change.ts";
import type { IDBDatabase, IDBFactory } from "./idb.ts";
import { decodeKey } from "./key.ts";
import type { DatabaseSchema } from "./schema.ts";

/** So many records are dropped in one transaction: others wait for it. */
const STEP = 100;

/** Names of object stores, and how many of their latest records are of use. */
export type KeepLatest = Readonly<Record<string, number>>;

export interface LatestOnlyOptions {
  /** Whose writes are durable. */
  indexedDB: IDBFactory;
  stored: readonly StoredDatabase[];
  keep: KeepLatest;
}

/** Object stores that would only ever grow, of which the oldest records are dropped as new ones come. */
export class LatestOnly {
  readonly #indexedDB: IDBFactory;
  readonly #keep: KeepLatest;
  /** Keys in the order in which they were first written, by database and store. */
  readonly #keys = new Map<string, Uint8Array[]>();
  readonly #dropping = new Set<string>();

  constructor({ indexedDB, stored, keep }: LatestOnlyOptions) {
    this.#indexedDB = indexedDB;
    this.#keep = keep;
    for (const { name, schema, keysByAge } of stored)
      for (const store of schema.stores)
        if (keep[store.name] !== undefined) this.#keysOf(name, store.name).push(...keysByAge(store.id));
  }

  /** To be called with what became durable. */
  committed(database: string, schema: DatabaseSchema, writes: readonly Write[]): void {
    for (const { id, name } of schema.stores) {
      const keep = this.#keep[name];
      if (keep === undefined) continue;
      const keys = this.#keysOf(database, name);
      for (const write of writes) if (write.kind === "put" && write.store === id) keys.push(write.key);
      if (keys.length >= keep + STEP) this.#drop(database, name, keep);
    }
  }

  #drop(database: string, store: string, keep: number): void {
    const place = JSON.stringify([database, store]);
    if (this.#dropping.has(place)) return;
    this.#dropping.add(place);
    const ended = (connection?: IDBDatabase) => {
      connection?.close();
      this.#dropping.delete(place);
      if (connection && this.#keysOf(database, store).length > keep) this.#drop(database, store, keep);
    };
    try {
      const opened = this.#indexedDB.open(database);
      opened.addEventListener("error", () => ended());
      opened.addEventListener("success", () => this.#dropFrom(opened.result, store, keep, ended));
    } catch {
      // The store closes: the next one drops them.
      ended();
    }
  }

  #dropFrom(
    connection: IDBDatabase,
    store: string,
    keep: number,
    ended: (connection?: IDBDatabase) => void,
  ): void {
    try {
      const transaction = connection.transaction(store, "readwrite");
      const keys = this.#keysOf(connection.name, store);
      const oldest = keys.splice(0, Math.min(STEP, keys.length - keep));
      transaction.addEventListener("complete", () => ended(connection));
      transaction.addEventListener("abort", () => ended(connection));
      for (const key of oldest) transaction.objectStore(store).delete(decodeKey(key));
    } catch {
      // As above.
      connection.close();
      ended();
    }
  }

  #keysOf(database: string, store: string): Uint8Array[] {
    const place = JSON.stringify([database, store]);
    const known = this.#keys.get(place) ?? [];
    this.#keys.set(place, known);
    return known;
  }
}
