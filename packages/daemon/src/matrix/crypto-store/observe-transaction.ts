import type { Write } from "./change.ts";
import { injectKey, lacksKey } from "./generator.ts";
import {
  type IDBCursorWithValue,
  type IDBDatabase,
  type IDBIndex,
  IDBKeyRange,
  type IDBObjectStore,
  type IDBRequest,
  type IDBTransaction,
  type IDBValidKey,
} from "./idb.ts";
import { encodeKey, encodeRange } from "./key.ts";
import {
  type DatabaseSchema,
  type StoreSchema,
  storeNamed,
  withIndex,
  withIndexRenamed,
  withoutIndex,
  withoutStore,
  withStore,
  withStoreRenamed,
} from "./schema.ts";
import { decodeValue, encodeValue } from "./value.ts";

/** What a transaction has done so far; filled while it runs. */
export interface TransactionLog {
  /** As this transaction sees it: replaced where a version change changes it. */
  schema: DatabaseSchema;
  readonly writes: Write[];
}

/**
 * Lets every write that goes through this transaction's objects be noted in `log`, in the order in which the
 * requests succeed, which is the order in which they take effect. Methods are replaced on the objects
 * themselves; fake-indexeddb's classes stay as they are.
 *
 * What is stored in memory is what the stored bytes give back, so memory never holds what a restart would not.
 */
export function observeTransaction(transaction: IDBTransaction, log: TransactionLog): void {
  if (transaction.mode === "readonly") return;
  const seen = new WeakSet<object>();
  const objectStore = transaction.objectStore.bind(transaction);
  transaction.objectStore = (name) => once(objectStore(name), observeStore);

  function once<T extends object>(target: T, observe: (target: T) => void): T {
    if (!seen.has(target)) {
      seen.add(target);
      observe(target);
    }
    return target;
  }

  function observeStore(store: IDBObjectStore): void {
    const put = store.put.bind(store);
    const add = store.add.bind(store);
    const remove = store.delete.bind(store);
    const clear = store.clear.bind(store);
    const index = store.index.bind(store);
    store.put = (...args) => write(store, put, args);
    store.add = (...args) => write(store, add, args);
    store.delete = (...args) => {
      const request = remove(...args);
      const [query] = args;
      noteDelete(store, request, query instanceof IDBKeyRange ? query : IDBKeyRange.only(query));
      return request;
    };
    store.clear = () => {
      const request = clear();
      const { id } = storeNamed(log.schema, store.name);
      request.addEventListener("success", () => log.writes.push({ kind: "clear", store: id }));
      return request;
    };
    store.index = (name) => once(index(name), (found) => observeIndex(store, found));
    observeCursors(store, store);
    if (transaction.mode === "versionchange") observeIndexChanges(store);
  }

  function observeIndexChanges(store: IDBObjectStore): void {
    const createIndex = store.createIndex.bind(store);
    const deleteIndex = store.deleteIndex.bind(store);
    onRename(store, (from, to) => {
      log.schema = withStoreRenamed(log.schema, from, to);
    });
    store.createIndex = (...args) => {
      const created = createIndex(...args);
      const { name, keyPath, unique, multiEntry } = created;
      log.schema = withIndex(log.schema, store.name, { name, keyPath, unique, multiEntry });
      return once(created, (fresh) => observeIndex(store, fresh));
    };
    store.deleteIndex = (name) => {
      deleteIndex(name);
      log.schema = withoutIndex(log.schema, store.name, name);
    };
  }

  function observeIndex(store: IDBObjectStore, index: IDBIndex): void {
    observeCursors(store, index);
    if (transaction.mode !== "versionchange") return;
    onRename(index, (from, to) => {
      log.schema = withIndexRenamed(log.schema, store.name, from, to);
    });
  }

  function observeCursors(store: IDBObjectStore, source: IDBObjectStore | IDBIndex): void {
    const openCursor = source.openCursor.bind(source);
    source.openCursor = (...args) => {
      const request = openCursor(...args);
      request.addEventListener("success", () => {
        if (request.result) once(request.result, (cursor) => observeCursor(store, cursor));
      });
      return request;
    };
  }

  function observeCursor(store: IDBObjectStore, cursor: IDBCursorWithValue): void {
    const update = cursor.update.bind(cursor);
    const remove = cursor.delete.bind(cursor);
    cursor.update = (...args) => write(store, update, args);
    cursor.delete = () => {
      const request = remove();
      noteDelete(store, request, IDBKeyRange.only(cursor.primaryKey));
      return request;
    };
  }

  function write<Args extends [value?: unknown, key?: IDBValidKey]>(
    store: IDBObjectStore,
    operation: (...args: Args) => IDBRequest<IDBValidKey>,
    args: Args,
  ): IDBRequest<IDBValidKey> {
    // There is nothing but an error to be had.
    if (args.length === 0) return operation(...args);
    const bytes = encodeValue(args[0]);
    args[0] = decodeValue(bytes);
    const request = operation(...args);
    const schema = storeNamed(log.schema, store.name);
    request.addEventListener("success", () => {
      const value = withGeneratedKey(schema, bytes, request.result);
      log.writes.push({ kind: "put", store: schema.id, key: encodeKey(request.result), value });
    });
    return request;
  }

  function noteDelete(store: IDBObjectStore, request: IDBRequest, keys: IDBKeyRange): void {
    const { id } = storeNamed(log.schema, store.name);
    const range = encodeRange(keys);
    request.addEventListener("success", () => log.writes.push({ kind: "delete", store: id, range }));
  }
}

/** As observeTransaction, and the object stores that a version change makes and deletes. */
export function observeVersionChange(
  database: IDBDatabase,
  transaction: IDBTransaction,
  log: TransactionLog,
  nextStoreId: () => number,
): void {
  observeTransaction(transaction, log);
  const createObjectStore = database.createObjectStore.bind(database);
  const deleteObjectStore = database.deleteObjectStore.bind(database);
  database.createObjectStore = (...args) => {
    const store = createObjectStore(...args);
    log.schema = withStore(log.schema, {
      id: nextStoreId(),
      name: store.name,
      keyPath: store.keyPath,
      autoIncrement: store.autoIncrement === true,
      indexes: [],
    });
    return store;
  };
  database.deleteObjectStore = (name) => {
    deleteObjectStore(name);
    log.schema = withoutStore(log.schema, name);
  };
}

/** A generated key is put into the value when it is stored, after the value was handed over. */
function withGeneratedKey(store: StoreSchema, bytes: Uint8Array, key: IDBValidKey): Uint8Array {
  if (!store.autoIncrement || typeof store.keyPath !== "string") return bytes;
  const value = decodeValue(bytes);
  if (!lacksKey(value, store.keyPath)) return bytes;
  injectKey(value, store.keyPath, key);
  return encodeValue(value);
}

/** `name` is an accessor of the prototype; renaming goes through it, so that its checks are made. */
function onRename(target: IDBObjectStore | IDBIndex, renamed: (from: string, to: string) => void): void {
  const prototype: object = Object.getPrototypeOf(target);
  Object.defineProperty(target, "name", {
    configurable: true,
    get: () => Reflect.get(prototype, "name", target),
    set: (name: unknown) => {
      const from = target.name;
      Reflect.set(prototype, "name", name, target);
      if (target.name !== from) renamed(from, target.name);
    },
  });
}
