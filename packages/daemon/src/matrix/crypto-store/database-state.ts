import type { Change, Write } from "./change.ts";
import { generatorAfter } from "./generator.ts";
import { decodeKey } from "./key.ts";
import { type DatabaseSchema, noSchema } from "./schema.ts";

/**
 * What is committed of one database: its schema, and its key generators. Transactions hold on to it, so that
 * one that ends after its database was deleted writes nothing.
 */
export class DatabaseState {
  readonly name: string;
  #schema: DatabaseSchema;
  #generators: ReadonlyMap<number, number>;

  constructor(
    name: string,
    schema: DatabaseSchema = noSchema,
    generators: ReadonlyMap<number, number> = new Map(),
  ) {
    this.name = name;
    this.#schema = schema;
    this.#generators = generators;
  }

  get schema(): DatabaseSchema {
    return this.#schema;
  }

  /**
   * The change that these writes make, with `schema` where the transaction changed it; undefined when there
   * is nothing to make durable. Writes to stores that are gone by now are left out, as they are in memory.
   */
  change(writes: readonly Write[], schema?: DatabaseSchema): Change | undefined {
    const before = this.#schema.stores;
    const after = schema?.stores ?? before;
    const generated = new Map(after.filter((store) => store.autoIncrement).map((store) => [store.id, 0]));
    const ids = new Set(after.map((store) => store.id));
    const live = writes.filter((write) => ids.has(write.store));
    if (live.length === 0 && schema === undefined) return undefined;
    const generators = new Map<number, number>();
    for (const write of live) {
      if (write.kind !== "put" || !generated.has(write.store)) continue;
      const current = generators.get(write.store) ?? this.#generators.get(write.store) ?? 0;
      const next = generatorAfter(current, decodeKey(write.key));
      if (next > current) generators.set(write.store, next);
    }
    return {
      database: this.name,
      ...(schema === undefined ? {} : { schema }),
      removedStores: before.map((store) => store.id).filter((id) => !ids.has(id)),
      generators,
      writes: live,
    };
  }

  /** The change that deletes the database. */
  deletion(): Change {
    return {
      database: this.name,
      schema: null,
      removedStores: this.#schema.stores.map((store) => store.id),
      generators: new Map(),
      writes: [],
    };
  }

  /** To be called once the change is durable. */
  committed(change: Change): void {
    if (change.schema !== undefined) this.#schema = change.schema ?? noSchema;
    if (change.generators.size > 0) this.#generators = new Map([...this.#generators, ...change.generators]);
  }
}
