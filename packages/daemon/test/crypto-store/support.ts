import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type {
  IDBDatabase,
  IDBFactory,
  IDBRequest,
  IDBTransaction,
} from "../../src/matrix/crypto-store/idb.ts";
import {
  type DurableIndexedDB,
  type DurableIndexedDBOptions,
  openDurableIndexedDB,
} from "../../src/matrix/crypto-store/index.ts";

/** How much of the full size of a long test is run. */
export const scale = Number(process.env.MX_TEST_SCALE ?? "1");

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "mx-crypto-store-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Closed when the test ends, if it was not before. */
export async function openStore(
  file: string,
  options: Partial<DurableIndexedDBOptions> = {},
): Promise<DurableIndexedDB> {
  const store = await openDurableIndexedDB({ file, version: "0.1.0", ...options });
  onTestFinished(() => store.close());
  return store;
}

export function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

export function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () => reject(transaction.error ?? new Error("aborted")));
  });
}

/** Opens a database; `upgrade` runs in its version change. */
export async function openDatabase(
  indexedDB: IDBFactory,
  name: string,
  version?: number,
  upgrade: (database: IDBDatabase, transaction: IDBTransaction) => void = () => {},
): Promise<IDBDatabase> {
  const request = indexedDB.open(name, version);
  request.addEventListener("upgradeneeded", () => {
    if (request.transaction) upgrade(request.result, request.transaction);
  });
  return answered(request);
}

/** One transaction that writes. */
export async function write(
  database: IDBDatabase,
  stores: string | string[],
  work: (transaction: IDBTransaction) => void,
): Promise<void> {
  const transaction = database.transaction(stores, "readwrite");
  const done = completed(transaction);
  work(transaction);
  await done;
}

/** Everything that can be seen through the public API: databases, stores, indexes, and what they hold. */
export async function contents(indexedDB: IDBFactory): Promise<unknown> {
  const databases = [...(await indexedDB.databases())].sort((a, b) => (a.name < b.name ? -1 : 1));
  return Promise.all(
    databases.map(async ({ name, version }) => {
      const database = await openDatabase(indexedDB, name);
      const stores: unknown[] = [];
      for (const store of database.objectStoreNames) stores.push(await storeContents(database, store));
      database.close();
      return { name, version, stores };
    }),
  );
}

async function storeContents(database: IDBDatabase, name: string): Promise<unknown> {
  const store = database.transaction(name).objectStore(name);
  const indexes = [...store.indexNames].map((indexName) => store.index(indexName));
  const [keys, values, ...indexed] = await Promise.all([
    answered(store.getAllKeys()),
    answered(store.getAll()),
    ...indexes.map((index) => answered(index.getAllKeys())),
    ...indexes.map((index) => answered(index.getAll())),
  ]);
  return {
    name,
    keyPath: store.keyPath,
    autoIncrement: store.autoIncrement,
    indexes: indexes.map(({ name: indexName, keyPath, unique, multiEntry }) => ({
      name: indexName,
      keyPath,
      unique,
      multiEntry,
    })),
    keys,
    values,
    indexed,
  };
}
