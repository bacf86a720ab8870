import type { DatabaseSync } from "node:sqlite";
import type { MxError } from "@mx-agent/base";
import { endProcess } from "./fatal.ts";
import { type IDBFactory, idbConstructors, memoryIndexedDB } from "./idb.ts";
import { type KeepLatest, LatestOnly } from "./latest-only.ts";
import { loadInto } from "./load.ts";
import { cannotWrite, damaged, openError } from "./sqlite-error.ts";
import { SqliteJournal } from "./sqlite-journal.ts";
import { openStoreFile, type StoreFileOptions } from "./store-file.ts";
import { WriteThrough } from "./write-through.ts";

export interface DurableIndexedDBOptions extends Omit<StoreFileOptions, "missing"> {
  /** "refuse" once a device has a store: a missing one must not become a new device without a word. */
  missing?: "create" | "refuse";
  /**
   * Called once, from within the commit that failed (MX_CANNOT_WRITE). It must end the process; by default it
   * does, loudly. Whatever it does, nobody hears of that transaction, and the store takes nothing any more.
   */
  onFatal?: (error: MxError) => void;
  /** Object stores of which only the latest records are of use: the oldest are dropped. */
  keepLatest?: KeepLatest;
}

export interface DurableIndexedDB {
  readonly indexedDB: IDBFactory;
  /** What the SDK's wasm looks for: `Object.assign(globalThis, store.globals)` before it is started. */
  readonly globals: typeof idbConstructors & { readonly indexedDB: IDBFactory };
  stats(): StoreStats;
  /**
   * What is written while `work` runs outlives the process as a whole when it has ended; of what is killed meanwhile
   * nothing is there. Its transactions complete before, and the disk has it later: whoever sends something on waits
   * for `durable`.
   */
  together<T>(work: () => Promise<T>): Promise<T>;
  /** Resolves when everything that completed is on disk. */
  durable(): Promise<void>;
  /** Takes no new transaction, waits for those that run, and gives the file free. */
  close(): Promise<void>;
}

export interface StoreStats {
  /** Transactions made durable since the store was opened. */
  commits: number;
  /** Single writes in them. */
  writes: number;
  /** Transactions and deletions of databases that have not ended. */
  running: number;
}

/**
 * An IndexedDB for Node whose transactions are on disk, in a SQLite file, before their `complete` event
 * reaches anybody. It holds everything in memory (fake-indexeddb), and one process owns the file for life.
 *
 * Values are what structuredClone takes, but for host objects: a CryptoKey or SharedArrayBuffer is refused
 * (DataCloneError), of a Blob nothing is kept, in memory as on disk. Writes must be made by methods called on
 * the objects, not by those of the classes' prototypes. Stop the SDK's client before `close`.
 *
 * MX_STORE_LOCKED, MX_STORE_NEWER, MX_STORE_DAMAGED, MX_STORE_MISSING, MX_CANNOT_WRITE.
 */
export async function openDurableIndexedDB(options: DurableIndexedDBOptions): Promise<DurableIndexedDB> {
  const { file, onFatal = endProcess } = options;
  const db = openStoreFile({ ...options, missing: options.missing ?? "create" });
  try {
    const journal = new SqliteJournal(file, db);
    const stored = journal.load();
    const indexedDB = memoryIndexedDB();
    await loadInto(indexedDB, stored);
    const onFailure = (error: unknown) => onFatal(commitError(file, error));
    const latest = new LatestOnly({ indexedDB, stored, keep: options.keepLatest ?? {} });
    const onCommitted: LatestOnly["committed"] = (...change) => latest.committed(...change);
    return new Opened(
      db,
      indexedDB,
      new WriteThrough({ indexedDB, stored, journal, onFailure, onCommitted }),
    );
  } catch (error) {
    db.close();
    throw loadError(file, error);
  }
}

class Opened implements DurableIndexedDB {
  readonly indexedDB: IDBFactory;
  readonly #db: DatabaseSync;
  readonly #through: WriteThrough;
  #closed: Promise<void> | undefined;

  constructor(db: DatabaseSync, indexedDB: IDBFactory, through: WriteThrough) {
    this.#db = db;
    this.indexedDB = indexedDB;
    this.#through = through;
  }

  get globals() {
    return { ...idbConstructors, indexedDB: this.indexedDB };
  }

  stats(): StoreStats {
    return this.#through.stats();
  }

  together<T>(work: () => Promise<T>): Promise<T> {
    return this.#through.together(work);
  }

  durable(): Promise<void> {
    return this.#through.durable();
  }

  close(): Promise<void> {
    this.#closed ??= this.#through.drain().then(() => this.#db.close());
    return this.#closed;
  }
}

function commitError(file: string, error: unknown): MxError {
  const detail = error instanceof Error ? error.message : String(error);
  return cannotWrite(file, `a change of the encryption keys is not on disk: ${detail}`, error);
}

/** Bytes whose sum is right and that V8 or IndexedDB refuse are damage too. */
function loadError(file: string, error: unknown): MxError {
  const known = openError(file, error);
  if (known.code !== "MX_INTERNAL") return known;
  return damaged(file, error instanceof Error ? error.message : String(error), error);
}
