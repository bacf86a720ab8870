import type { Change, Journal, StoredDatabase, Write } from "./change.ts";
import { DatabaseState } from "./database-state.ts";
import type { IDBDatabase, IDBEvent, IDBFactory, IDBTransaction } from "./idb.ts";
import { observeTransaction, observeVersionChange, type TransactionLog } from "./observe-transaction.ts";
import type { DatabaseSchema } from "./schema.ts";

export interface WriteThroughOptions {
  /** In memory, with exactly what `stored` holds. Its `open` and `deleteDatabase` are replaced. */
  indexedDB: IDBFactory;
  stored: readonly StoredDatabase[];
  journal: Journal;
  /** Called once, when a change could not be made durable. Nobody is told of that change, nor of any later one. */
  onFailure: (error: unknown) => void;
  /** Called with the writes to a database that became durable. */
  onCommitted?: (database: string, schema: DatabaseSchema, writes: readonly Write[]) => void;
}

/**
 * Makes every change of an in-memory IndexedDB durable before anybody hears of it: a transaction's in a
 * `complete` listener that is added before the transaction is handed out (listeners run in the order in which
 * they were added, `oncomplete` last), a deletion's in a `success` listener likewise.
 *
 * A commit that fails must neither throw nor abort there, since the wasm's promise would resolve all the same:
 * the event is stopped, and the store is dead from then on.
 */
export class WriteThrough {
  readonly #options: WriteThroughOptions;
  readonly #states = new Map<string, DatabaseState>();
  readonly #seen = new WeakSet<IDBDatabase>();
  /** Transactions and deletions that have not ended. */
  readonly #running = new Set<object>();
  #condition: "open" | "closing" | "closed" | "dead" = "open";
  #idle: (() => void)[] = [];
  #nextStoreId = 1;
  /** Pieces of work whose changes become durable together. */
  #together = 0;
  #durable = Promise.withResolvers<void>();
  #commits = 0;
  #writes = 0;

  constructor(options: WriteThroughOptions) {
    this.#options = options;
    for (const { name, schema, generators } of options.stored) {
      this.#states.set(name, new DatabaseState(name, schema, generators));
      for (const store of schema.stores) this.#nextStoreId = Math.max(this.#nextStoreId, store.id + 1);
    }
    this.#replaceOpen(options.indexedDB);
    this.#replaceDelete(options.indexedDB);
  }

  /** Durable commits and single writes since the start, and what has not ended. */
  stats(): { commits: number; writes: number; running: number } {
    return { commits: this.#commits, writes: this.#writes, running: this.#running.size };
  }

  /**
   * All that is committed while `work` runs, whoever does it, is kept as a whole when `work` has ended: what is killed
   * meanwhile finds nothing of it. Others hear of it before, so who passes it on waits for `durable`, which alone
   * brings it to the disk.
   */
  async together<T>(work: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    if (this.#together++ === 0) this.#attempt(() => this.#options.journal.begin());
    try {
      return await work();
    } finally {
      if (--this.#together === 0) {
        if (!this.#halted) this.#attempt(() => this.#options.journal.end());
        this.#durable.resolve();
        this.#durable = Promise.withResolvers();
      }
    }
  }

  /** Resolves when all that was committed is durable; never once the store could not write. */
  async durable(): Promise<void> {
    while (this.#together > 0) await this.#durable.promise;
    if (!this.#halted) this.#attempt(() => this.#options.journal.sync());
    if (this.#condition === "dead") await new Promise(() => {});
  }

  /** Refuses whatever is new, and resolves when what runs has ended; nothing is written after that. */
  drain(): Promise<void> {
    if (this.#condition === "open") this.#condition = "closing";
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#settle();
    });
  }

  #replaceOpen(indexedDB: IDBFactory): void {
    const open = indexedDB.open.bind(indexedDB);
    indexedDB.open = (...args) => {
      this.#assertOpen();
      const request = open(...args);
      request.addEventListener("upgradeneeded", (event) => {
        const { result: database, transaction } = request;
        if (!transaction) throw new Error("a version change without a transaction");
        if (this.#condition !== "open") {
          event.stopImmediatePropagation();
          transaction.abort();
          return;
        }
        this.#observe(database);
        this.#observeUpgrade(database, transaction);
      });
      request.addEventListener("success", (event) => {
        if (this.#halted) event.stopImmediatePropagation();
        else this.#observe(request.result);
      });
      return request;
    };
  }

  #replaceDelete(indexedDB: IDBFactory): void {
    const deleteDatabase = indexedDB.deleteDatabase.bind(indexedDB);
    indexedDB.deleteDatabase = (name) => {
      this.#assertOpen();
      const request = deleteDatabase(name);
      const ended = this.#begun(request);
      request.addEventListener("success", (event) => {
        const state = this.#states.get(name);
        this.#commit(event, state, state?.deletion());
        this.#states.delete(name);
        ended();
      });
      request.addEventListener("error", ended);
      // By a connection that nobody may ever close: whoever closes the store does not wait for that.
      request.addEventListener("blocked", ended);
      return request;
    };
  }

  #observe(database: IDBDatabase): void {
    if (this.#seen.has(database)) return;
    this.#seen.add(database);
    const begin = database.transaction.bind(database);
    database.transaction = (...args) => {
      this.#assertOpen();
      const state = this.#state(database.name);
      const transaction = begin(...args);
      const log: TransactionLog = { schema: state.schema, writes: [] };
      this.#follow(transaction, (event) => this.#commit(event, state, state.change(log.writes)));
      observeTransaction(transaction, log);
      return transaction;
    };
  }

  #observeUpgrade(database: IDBDatabase, transaction: IDBTransaction): void {
    const state = this.#state(database.name);
    const log: TransactionLog = { schema: { ...state.schema, version: database.version }, writes: [] };
    this.#follow(transaction, (event) => {
      this.#states.set(state.name, state);
      this.#commit(event, state, state.change(log.writes, log.schema));
    });
    observeVersionChange(database, transaction, log, () => this.#nextStoreId++);
  }

  #state(name: string): DatabaseState {
    return this.#states.get(name) ?? new DatabaseState(name);
  }

  #follow(transaction: IDBTransaction, completed: (event: IDBEvent) => void): void {
    const ended = this.#begun(transaction);
    transaction.addEventListener("complete", (event) => {
      completed(event);
      ended();
    });
    transaction.addEventListener("abort", ended);
  }

  /** Counts what has begun until the function that it returns is called. */
  #begun(running: object): () => void {
    this.#running.add(running);
    return () => {
      this.#running.delete(running);
      this.#settle();
    };
  }

  #commit(event: IDBEvent, state: DatabaseState | undefined, change: Change | undefined): void {
    if (this.#halted) {
      event.stopImmediatePropagation();
      return;
    }
    if (!state || !change) return;
    if (!this.#attempt(() => this.#options.journal.commit(change))) {
      event.stopImmediatePropagation();
      return;
    }
    state.committed(change);
    this.#commits++;
    this.#writes += change.writes.length;
    this.#options.onCommitted?.(state.name, state.schema, change.writes);
  }

  /** Where it fails the store is dead. */
  #attempt(step: () => void): boolean {
    try {
      step();
      return true;
    } catch (error) {
      this.#condition = "dead";
      this.#options.onFailure(error);
      return false;
    }
  }

  #settle(): void {
    if (this.#running.size > 0 && this.#condition !== "dead") return;
    if (this.#condition === "closing") this.#condition = "closed";
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  get #halted(): boolean {
    return this.#condition === "closed" || this.#condition === "dead";
  }

  #assertOpen(): void {
    if (this.#condition === "open") return;
    const why = this.#condition === "dead" ? "could not write and has stopped" : "is closed";
    throw new DOMException(`the crypto store ${why}`, "InvalidStateError");
  }
}
