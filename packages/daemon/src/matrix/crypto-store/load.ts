import type { StoredDatabase } from "./change.ts";
import { injectKey } from "./generator.ts";
import type { IDBDatabase, IDBFactory, IDBObjectStore, IDBRequest } from "./idb.ts";
import { decodeKey } from "./key.ts";
import type { StoreSchema } from "./schema.ts";
import { decodeValue } from "./value.ts";

/** Requests that wait in one transaction at a time: fake-indexeddb takes them from the front of an array. */
const BATCH = 256;

/** Makes the stored databases in an empty IndexedDB. Rejects when a record can't be read or put back. */
export async function loadInto(indexedDB: IDBFactory, stored: readonly StoredDatabase[]): Promise<void> {
  for (const database of stored) await loadDatabase(indexedDB, database);
}

function loadDatabase(indexedDB: IDBFactory, database: StoredDatabase): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(database.name, database.schema.version);
    let failure: unknown;
    request.addEventListener("upgradeneeded", () => {
      fill(request.result, database).catch((error: unknown) => {
        failure = error;
        request.transaction?.abort();
      });
    });
    request.addEventListener("error", () => reject(failure ?? request.error));
    request.addEventListener("success", () => {
      request.result.close();
      resolve();
    });
  });
}

/** The transaction lives on as long as each step begins in the callback of the one before. */
async function fill(target: IDBDatabase, { schema, generators, rows }: StoredDatabase): Promise<void> {
  for (const store of schema.stores) {
    const { keyPath, autoIncrement } = store;
    const made = target.createObjectStore(store.name, { keyPath, autoIncrement });
    const generated = generators.get(store.id);
    if (generated !== undefined) await advanceGenerator(made, store, generated);
    await putAll(made, rows(store.id));
    for (const { name, keyPath: path, unique, multiEntry } of store.indexes)
      made.createIndex(name, path, { unique, multiEntry });
  }
}

/** A generator moves when a record with a larger key is stored; and stays when that is deleted. */
async function advanceGenerator(made: IDBObjectStore, store: StoreSchema, generated: number): Promise<void> {
  const value = {};
  if (typeof store.keyPath === "string") {
    injectKey(value, store.keyPath, generated);
    made.put(value);
  } else made.put(value, generated);
  await succeeded(made.delete(generated));
}

async function putAll(
  made: IDBObjectStore,
  rows: Iterable<{ key: Uint8Array; value: Uint8Array }>,
): Promise<void> {
  let waiting = 0;
  for (const { key, value } of rows) {
    const read = decodeValue(value);
    const request = made.keyPath === null ? made.put(read, decodeKey(key)) : made.put(read);
    waiting = (waiting + 1) % BATCH;
    if (waiting === 0) await succeeded(request);
  }
}

function succeeded(request: IDBRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve());
    request.addEventListener("error", () => reject(request.error));
  });
}
