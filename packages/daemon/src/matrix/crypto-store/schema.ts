import type { KeyPath } from "./idb.ts";

/** What an IndexedDB database is made of, as plain values that are replaced and never changed. */
export interface DatabaseSchema {
  readonly version: number;
  readonly stores: readonly StoreSchema[];
}

export interface StoreSchema {
  /** Ours, unique in the file: a store that is deleted and made again under its name is another one. */
  readonly id: number;
  readonly name: string;
  readonly keyPath: KeyPath | null;
  readonly autoIncrement: boolean;
  readonly indexes: readonly IndexSchema[];
}

export interface IndexSchema {
  readonly name: string;
  readonly keyPath: KeyPath;
  readonly unique: boolean;
  readonly multiEntry: boolean;
}

export const noSchema: DatabaseSchema = { version: 0, stores: [] };

export function storeNamed(schema: DatabaseSchema, name: string): StoreSchema {
  const store = schema.stores.find((candidate) => candidate.name === name);
  if (!store) throw new Error(`no object store ${JSON.stringify(name)} in the schema`);
  return store;
}

export function withStore(schema: DatabaseSchema, store: StoreSchema): DatabaseSchema {
  return { ...schema, stores: [...schema.stores, store] };
}

export function withoutStore(schema: DatabaseSchema, name: string): DatabaseSchema {
  return { ...schema, stores: schema.stores.filter((store) => store.name !== name) };
}

export function withStoreRenamed(schema: DatabaseSchema, from: string, to: string): DatabaseSchema {
  return mapStore(schema, from, (store) => ({ ...store, name: to }));
}

export function withIndex(schema: DatabaseSchema, store: string, index: IndexSchema): DatabaseSchema {
  return mapStore(schema, store, (old) => ({ ...old, indexes: [...old.indexes, index] }));
}

export function withoutIndex(schema: DatabaseSchema, store: string, name: string): DatabaseSchema {
  return mapStore(schema, store, (old) => ({
    ...old,
    indexes: old.indexes.filter((index) => index.name !== name),
  }));
}

export function withIndexRenamed(
  schema: DatabaseSchema,
  store: string,
  from: string,
  to: string,
): DatabaseSchema {
  return mapStore(schema, store, (old) => ({
    ...old,
    indexes: old.indexes.map((index) => (index.name === from ? { ...index, name: to } : index)),
  }));
}

function mapStore(
  schema: DatabaseSchema,
  name: string,
  change: (store: StoreSchema) => StoreSchema,
): DatabaseSchema {
  return {
    ...schema,
    stores: schema.stores.map((store) => (store.name === name ? change(store) : store)),
  };
}
