import {
  type IDBDatabase,
  type IDBFactory,
  IDBKeyRange,
  type IDBObjectStore,
  type IDBRequest,
  type IDBTransaction,
} from "../../src/matrix/crypto-store/idb.ts";
import type { Operation, SchemaChange, Step, Visit } from "./script.ts";
import { answered, openDatabase } from "./support.ts";

type Acting = Exclude<Step, { do: "restart" }>;

/** Plays steps on one IndexedDB, and says what the program saw: results, errors, how each transaction ended. */
export class Player {
  readonly #indexedDB: IDBFactory;

  constructor(indexedDB: IDBFactory) {
    this.#indexedDB = indexedDB;
  }

  async play(step: Acting): Promise<unknown[]> {
    const seen: unknown[] = [];
    if (step.do === "delete database") {
      await answered(this.#indexedDB.deleteDatabase("keys"));
      return seen;
    }
    const current = (await this.#indexedDB.databases()).find(({ name }) => name === "keys")?.version ?? 0;
    if (step.do === "upgrade") {
      const upgraded = openDatabase(this.#indexedDB, "keys", current + 1, (database, transaction) => {
        for (const change of step.changes) attempt(seen, () => changeSchema(database, transaction, change));
        act(transaction, [...database.objectStoreNames], step, seen);
      });
      const database = await upgraded.catch((error: unknown) => seen.push(nameOf(error)));
      if (typeof database !== "number") database.close();
      return seen;
    }
    if (current === 0) return seen;
    const database = await openDatabase(this.#indexedDB, "keys");
    const names = [...database.objectStoreNames];
    if (names.length > 0) {
      const transaction = database.transaction(names, "readwrite");
      const ended = end(transaction);
      act(transaction, names, step, seen);
      seen.push(await ended);
    }
    database.close();
    return seen;
  }
}

function act(
  transaction: IDBTransaction,
  names: string[],
  step: Exclude<Acting, { do: "delete database" }>,
  seen: unknown[],
): void {
  const operations = [...step.operations];
  const sure = step.forgive && (step.end === "let go" || step.end === "commit");
  const one = (operation: Operation, then: () => void) => {
    const name = names[operation.store % Math.max(names.length, 1)];
    if (name === undefined) return then();
    const begun = attempt(seen, () => begin(transaction.objectStore(name), operation, sure, seen, then));
    if (!begun) then();
    else follow(begun, step.forgive, seen, then, operation.do !== "walk");
  };
  const finish = () => {
    if (step.end === "abort") transaction.abort();
    if (step.end === "commit") attempt(seen, () => transaction.commit());
    const [name] = names;
    if (step.end === "throw" && name !== undefined)
      transaction
        .objectStore(name)
        .count()
        .addEventListener("success", () => {
          throw new Error("thrown by a listener");
        });
  };
  if (step.do === "transaction" && step.together) {
    for (const operation of operations) one(operation, () => {});
    attempt(seen, finish);
    return;
  }
  const next = () => {
    const operation = operations.shift();
    if (operation) one(operation, next);
    else attempt(seen, finish);
  };
  next();
}

/** `sure`: whether the transaction will not be aborted by an error or on purpose. */
function begin(
  store: IDBObjectStore,
  operation: Operation,
  sure: boolean,
  seen: unknown[],
  then: () => void,
): IDBRequest {
  switch (operation.do) {
    case "put":
    case "add": {
      const { key, value } = tamed(store, operation, sure);
      return key === undefined ? store[operation.do](value) : store[operation.do](value, key);
    }
    case "put anything":
      return store.autoIncrement ? store.count() : store.put(operation.value, operation.key);
    case "delete":
      return store.delete(operation.key);
    case "delete range":
      return store.delete(IDBKeyRange.bound(operation.lower, operation.upper, ...operation.open));
    case "clear":
      return store.clear();
    case "walk":
      return walk(store, operation, sure, seen, then);
  }
}

/**
 * fake-indexeddb does not take back the step of a key generator that an explicit key made when its write is
 * undone; after a restart it is back, as the specification allows. So such keys are used only where nothing
 * is undone.
 */
function tamed(store: IDBObjectStore, { key, value }: Operation & { do: "put" | "add" }, sure: boolean) {
  const unique = [...store.indexNames].some((name) => store.index(name).unique);
  const explicit = store.keyPath === null ? key : undefined;
  if (!store.autoIncrement || (sure && !unique)) return { key: explicit, value };
  const { id: _, ...rest } = value;
  return { key: typeof explicit === "number" ? undefined : explicit, value: { ...rest, n: {} } };
}

function walk(
  store: IDBObjectStore,
  operation: Operation & { do: "walk" },
  sure: boolean,
  seen: unknown[],
  then: () => void,
): IDBRequest {
  const indexes = [...store.indexNames];
  const name = operation.index === null ? undefined : indexes[operation.index % Math.max(indexes.length, 1)];
  const source = name === undefined ? store : store.index(name);
  const request = source.openCursor(null, operation.direction);
  const visits = [...operation.visits];
  const visit = ({ ...next }: Visit) => {
    const cursor = request.result;
    if (!cursor) return;
    if (next.do === "pass") return cursor.advance(next.by);
    // In a store with a generator only what is there already is put back; see `tamed`.
    const value = store.autoIncrement
      ? cursor.value
      : withKeyOf(store, next.do === "update" ? next.value : {}, cursor.value);
    const change = attempt(seen, () => (next.do === "delete" ? cursor.delete() : cursor.update(value)));
    if (change) follow(change, sure, seen, () => {});
    cursor.continue();
  };
  request.addEventListener("success", () => {
    const next = visits.shift();
    seen.push(request.result ? [request.result.key, request.result.primaryKey, request.result.value] : null);
    if (next && request.result) attempt(seen, () => visit(next));
    else then();
  });
  return request;
}

function withKeyOf(store: IDBObjectStore, row: object, before: unknown): unknown {
  if (store.keyPath === null || typeof before !== "object" || before === null) return row;
  return { ...before, payload: row };
}

function changeSchema(database: IDBDatabase, transaction: IDBTransaction, change: SchemaChange): void {
  if (change.do === "create store") {
    const { name, keyPath, autoIncrement } = change;
    database.createObjectStore(name, { keyPath, autoIncrement });
    return;
  }
  const names = [...database.objectStoreNames];
  const name = names[change.store % Math.max(names.length, 1)];
  if (name === undefined) return;
  const store = transaction.objectStore(name);
  const indexes = [...store.indexNames];
  const index = "index" in change ? indexes[change.index % Math.max(indexes.length, 1)] : undefined;
  switch (change.do) {
    case "delete store":
      database.deleteObjectStore(name);
      return;
    case "recreate store":
      // What is put into the old one must not be found in the new one.
      if (!store.autoIncrement && store.keyPath === null) store.put("of the old one", "old");
      database.deleteObjectStore(name);
      database.createObjectStore(name);
      return;
    case "rename store":
      store.name = change.name;
      return;
    case "create index":
      store.createIndex(change.name, change.keyPath, change);
      return;
    case "delete index":
      if (index !== undefined) store.deleteIndex(index);
      return;
    case "rename index":
      if (index !== undefined) store.index(index).name = change.name;
      return;
  }
}

/** `ends`: whether its first success is all of it; a cursor's request succeeds again and again. */
function follow(request: IDBRequest, forgive: boolean, seen: unknown[], then: () => void, ends = true): void {
  if (ends)
    request.addEventListener("success", () => {
      seen.push(request.result);
      then();
    });
  request.addEventListener("error", (event) => {
    seen.push(nameOf(request.error));
    if (forgive) {
      event.preventDefault();
      then();
    }
  });
}

function end(transaction: IDBTransaction): Promise<string> {
  return new Promise((resolve) => {
    transaction.addEventListener("complete", () => resolve("complete"));
    transaction.addEventListener("abort", () => resolve(`aborted: ${nameOf(transaction.error)}`));
  });
}

function attempt<T>(seen: unknown[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    seen.push(nameOf(error));
    return undefined;
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : String(error);
}
