import fc from "fast-check";
import type { IDBValidKey } from "../../src/matrix/crypto-store/idb.ts";

const instant = fc.date({ noInvalidDate: true });
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("\ud800", "\udfff", "\0", "a\0b"),
);

/** Any IndexedDB key but -0, which is the key 0. */
export const anyKey: fc.Arbitrary<IDBValidKey> = fc.letrec<{ key: IDBValidKey }>((tie) => ({
  key: fc.oneof(
    { depthSize: "small" },
    fc.double({ noNaN: true }).map((number) => (number === 0 ? 0 : number)),
    fc.integer(),
    text,
    instant,
    fc.uint8Array({ maxLength: 6 }).map((bytes) => bytes.slice().buffer),
    fc.array(tie("key"), { maxLength: 3 }),
  ),
})).key;

/** Anything that structuredClone takes and a file can keep. */
export const anyValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(undefined, null, true, false, NaN, -0, Number.POSITIVE_INFINITY),
    fc.double(),
    fc.bigInt(),
    text,
    instant,
    fc.constantFrom(/a+/giu, new Error("failed"), new RangeError("cause", { cause: { deep: [1] } })),
    fc.uint8Array(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.float64Array({ maxLength: 3 }),
    fc.bigInt64Array({ maxLength: 3 }),
    fc.uint8Array({ minLength: 4 }).map((bytes) => new DataView(bytes.slice().buffer, 1, 2)),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.sparseArray(tie("value"), { maxLength: 4 }),
    fc.dictionary(text, tie("value"), { maxKeys: 4 }),
    fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 3 }).map((entries) => new Map(entries)),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => new Set(items)),
    tie("value").map((shared) => ({ once: shared, twice: shared })),
  ),
})).value;
