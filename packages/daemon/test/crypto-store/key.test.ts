import fc from "fast-check";
import { expect, test } from "vitest";
import { memoryIndexedDB } from "../../src/matrix/crypto-store/idb.ts";
import { decodeKey, encodeKey } from "../../src/matrix/crypto-store/key.ts";
import { anyKey } from "./arbitraries.ts";

const { cmp } = memoryIndexedDB();

test("every key comes back as it was", () => {
  fc.assert(
    fc.property(anyKey, (key) => {
      expect(decodeKey(encodeKey(key))).toEqual(key);
    }),
  );
});

test("the order of the bytes is the order of the keys", () => {
  fc.assert(
    fc.property(anyKey, anyKey, (a, b) => {
      expect(Buffer.compare(encodeKey(a), encodeKey(b))).toBe(cmp(a, b));
    }),
    { numRuns: 2000 },
  );
});

test("keys that are nearly the same keep their order", () => {
  const near = fc.oneof(
    fc.string({
      unit: fc.constantFrom("\0", "\x7e", "\x7f", "\x80", "\u407e", "\u407f", "\uffff"),
      maxLength: 3,
    }),
    fc.uint8Array({ maxLength: 3, max: 2 }).map((bytes) => bytes.slice().buffer),
    fc.array(fc.constantFrom<string | number>("", "\0", 0, 1, -1), { maxLength: 3 }),
    fc.constantFrom(0, Number.MIN_VALUE, -Number.MIN_VALUE, Number.POSITIVE_INFINITY, 2 ** 53, 2 ** 53 - 1),
  );
  fc.assert(
    fc.property(near, near, (a, b) => {
      expect(Buffer.compare(encodeKey(a), encodeKey(b))).toBe(cmp(a, b));
    }),
    { numRuns: 2000 },
  );
});

test("-0 is the key 0", () => {
  expect(encodeKey(-0)).toEqual(encodeKey(0));
  expect(encodeKey([new Date(-0)])).toEqual(encodeKey([new Date(0)]));
});

test("bytes that are no key are refused", () => {
  for (const bytes of [[], [0x60], [0x10, 1], [0x30, 1], [0x50, 0x30, 0], [0x30, 0, 0], [0x40, 1, 0]])
    expect(() => decodeKey(Uint8Array.from(bytes))).toThrow(RangeError);
});
