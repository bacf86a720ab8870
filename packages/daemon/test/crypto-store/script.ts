import fc from "fast-check";
import type { IDBValidKey } from "../../src/matrix/crypto-store/idb.ts";
import { anyValue } from "./arbitraries.ts";

/** What a program may do with an IndexedDB, as data; `store` and `index` are taken modulo what there is. */
export type Step =
  | { do: "transaction"; operations: Operation[]; end: End; forgive: boolean; together: boolean }
  | { do: "upgrade"; changes: SchemaChange[]; operations: Operation[]; end: End; forgive: boolean }
  | { do: "delete database" }
  | { do: "restart" };

export type End = "let go" | "commit" | "abort" | "throw";

export type Operation =
  | { do: "put" | "add"; store: number; key: IDBValidKey | undefined; value: Row }
  | { do: "put anything"; store: number; key: IDBValidKey; value: unknown }
  | { do: "delete"; store: number; key: IDBValidKey }
  | { do: "delete range"; store: number; lower: IDBValidKey; upper: IDBValidKey; open: [boolean, boolean] }
  | { do: "clear"; store: number }
  | { do: "walk"; store: number; index: number | null; direction: Direction; visits: Visit[] };

export type Direction = "next" | "nextunique" | "prev" | "prevunique";
export type Visit = { do: "update"; value: Row } | { do: "delete" } | { do: "pass"; by: number };
export type Row = { id?: IDBValidKey; n?: object; room?: unknown; tags?: unknown };

export type SchemaChange =
  | { do: "create store"; name: string; keyPath: string | string[] | null; autoIncrement: boolean }
  | { do: "delete store" | "recreate store"; store: number }
  | { do: "rename store"; store: number; name: string }
  | {
      do: "create index";
      store: number;
      name: string;
      keyPath: string | string[];
      unique: boolean;
      multiEntry: boolean;
    }
  | { do: "delete index"; store: number; index: number }
  | { do: "rename index"; store: number; index: number; name: string };

const store = fc.nat(5);
const index = fc.nat(3);
const key: fc.Arbitrary<IDBValidKey> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<IDBValidKey>(1, 2, 3, 7, "a", "b") },
  {
    weight: 2,
    arbitrary: fc.constantFrom<IDBValidKey>(
      -1,
      2.5,
      new Date(5),
      Uint8Array.of(0, 1).buffer,
      [1, "a"],
      [],
      "",
    ),
  },
);
const room = fc.constantFrom<unknown>("!a", "!b", "!c", 1, null, ["!a", 2]);
const row: fc.Arbitrary<Row> = fc.record(
  {
    id: key,
    n: fc.oneof(fc.constant({}), fc.record({ id: key }), fc.record({ id: key })),
    room,
    tags: fc.oneof(fc.array(fc.constantFrom<unknown>("x", "y", 3, null), { maxLength: 3 }), fc.constant("x")),
    payload: anyValue,
  },
  { requiredKeys: ["id", "room"] },
);
const kind = <T extends string>(...kinds: T[]) => fc.constantFrom(...kinds);
const end = fc.oneof(
  { weight: 9, arbitrary: kind<End>("let go", "commit") },
  { weight: 1, arbitrary: kind<End>("abort", "throw") },
);

const visit: fc.Arbitrary<Visit> = fc.oneof(
  fc.record({ do: kind("update"), value: row }),
  fc.record({ do: kind("delete") }),
  fc.record({ do: kind("pass"), by: fc.integer({ min: 1, max: 2 }) }),
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: kind("put", "add"),
      store,
      key: fc.option(key, { nil: undefined, freq: 8 }),
      value: row,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: kind("put anything"), store, key, value: anyValue }) },
  { weight: 2, arbitrary: fc.record({ do: kind("delete"), store, key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: kind("delete range"),
      store,
      lower: key,
      upper: key,
      open: fc.tuple(fc.boolean(), fc.boolean()),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: kind("clear"), store }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: kind("walk"),
      store,
      index: fc.option(index),
      direction: kind<Direction>("next", "nextunique", "prev", "prevunique"),
      visits: fc.array(visit, { minLength: 1, maxLength: 4 }),
    }),
  },
);

const storeName = fc.constantFrom("core", "sessions", "kv", "\ud800");
const indexName = fc.constantFrom("by_room", "by_tag", "other");
const change: fc.Arbitrary<SchemaChange> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: kind("create store"),
      name: storeName,
      keyPath: fc.constantFrom<string | string[] | null>(null, null, "id", "n.id", ["room", "id"]),
      autoIncrement: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: kind("delete store", "recreate store"), store }) },
  { weight: 1, arbitrary: fc.record({ do: kind("rename store"), store, name: storeName }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: kind("create index"),
      store,
      name: indexName,
      keyPath: fc.constantFrom<string | string[]>("room", "tags", "id", ["room", "id"], "n.id"),
      unique: fc.boolean(),
      multiEntry: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: kind("delete index"), store, index }) },
  { weight: 1, arbitrary: fc.record({ do: kind("rename index"), store, index, name: indexName }) },
);

const operations = fc.array(operation, { maxLength: 10 });
const forgive = fc.oneof(
  { weight: 4, arbitrary: fc.constant(true) },
  { weight: 1, arbitrary: fc.constant(false) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: kind("transaction"),
      operations,
      end,
      forgive,
      together: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: kind("upgrade"),
      changes: fc.array(change, { minLength: 1, maxLength: 6 }),
      operations,
      end,
      forgive,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: kind("restart") }) },
  { weight: 1, arbitrary: fc.record({ do: kind("delete database") }) },
);

/** A program's life: it begins with a schema, and what comes then may be anything. */
export const anyScript: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.record({
      do: kind("upgrade"),
      changes: fc.array(change, { minLength: 3, maxLength: 8 }),
      operations,
      end: fc.constant<End>("let go"),
      forgive: fc.constant(true),
    }),
    fc.array(step, { minLength: 1, maxLength: 14 }),
  )
  .map(([first, rest]) => [first, ...rest]);
