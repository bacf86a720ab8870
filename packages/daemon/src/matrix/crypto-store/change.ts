import type { ByteRange } from "./key.ts";
import type { DatabaseSchema } from "./schema.ts";

/** One write of a transaction, in the order in which they took effect. */
export type Write =
  | { kind: "put"; store: number; key: Uint8Array; value: Uint8Array }
  | { kind: "delete"; store: number; range: ByteRange }
  | { kind: "clear"; store: number };

/** All that one IndexedDB transaction, or one deletion of a database, did. */
export interface Change {
  database: string;
  /** The new schema where it changed, null for a database that is gone, undefined where it stayed. */
  schema?: DatabaseSchema | null;
  /** Ids of stores that are gone with all they hold. */
  removedStores: readonly number[];
  /** Key generators that moved: store id to the largest key. */
  generators: ReadonlyMap<number, number>;
  writes: readonly Write[];
}

/** Where changes become durable. */
export interface Journal {
  /** Returns when the change is on disk as a whole; throws when it may not be. Synchronous. Between `begin` and `end` it waits for `end`. */
  commit(change: Change): void;
  /** The changes from here on are kept together, or none of them. */
  begin(): void;
  /** Returns when those since `begin` outlive this process; throws when they may not. Not yet the loss of power. */
  end(): void;
  /** Returns when all that was changed is on disk; throws when it may not be. */
  sync(): void;
}

/** A database as it is on disk; `rows` are read lazily, in the order of their keys, `keysByAge` in that in which they came. */
export interface StoredDatabase {
  name: string;
  schema: DatabaseSchema;
  generators: ReadonlyMap<number, number>;
  rows(store: number): Iterable<{ key: Uint8Array; value: Uint8Array }>;
  keysByAge(store: number): Iterable<Uint8Array>;
}
