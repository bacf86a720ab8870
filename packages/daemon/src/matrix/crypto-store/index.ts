export {
  type DurableIndexedDB,
  type DurableIndexedDBOptions,
  openDurableIndexedDB,
  type StoreStats,
} from "./durable-indexeddb.ts";
export type { IDBDatabase, IDBFactory, IDBObjectStore, IDBRequest, IDBTransaction } from "./idb.ts";
export { storageKey } from "./storage-key.ts";
