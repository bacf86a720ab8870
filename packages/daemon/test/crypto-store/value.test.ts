import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeValue, encodeValue } from "../../src/matrix/crypto-store/value.ts";
import { anyValue } from "./arbitraries.ts";

test("a value comes back as structuredClone would give it", () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      expect(decodeValue(encodeValue(value))).toStrictEqual(structuredClone(value));
    }),
    { numRuns: 1000 },
  );
});

test("what is shared or goes round in a value still does", () => {
  const inner = { bytes: new Uint8Array([1, 2, 3]).subarray(1) };
  const outer: Record<string, unknown> = { inner, again: inner, view: new DataView(inner.bytes.buffer) };
  outer.self = outer;
  const back = decodeValue(encodeValue(outer)) as typeof outer & { inner: typeof inner; view: DataView };
  expect(back.self).toBe(back);
  expect(back.inner).toBe(back.again);
  expect(back.view.buffer).toBe(back.inner.bytes.buffer);
  expect(back.inner.bytes).toEqual(new Uint8Array([2, 3]));
});
