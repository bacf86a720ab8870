import { existsSync, readFileSync } from "node:fs";
import { CanonicalJsonError, canonicalBytes, canonicalJson } from "@mx-agent/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const vectorFile = new URL("../../../../shared/conformance/matrix_signing_vectors.json", import.meta.url);
const present = existsSync(vectorFile);
interface Vectors {
  canonical_json: { input: string; canonical: string }[];
  canonical_json_rejected: { input: string; why: string }[];
}
const vectors: Vectors = present
  ? JSON.parse(readFileSync(vectorFile, "utf8"))
  : { canonical_json: [], canonical_json_rejected: [] };

/** Any JSON value that has a canonical form, keys of every kind among its keys. */
const key = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("__proto__", "constructor", "toString", "\uff5e", "😀", "\ue000", ""),
);
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.string({ unit: "grapheme" }),
    fc.array(tie("json"), { maxLength: 5 }),
    fc
      .array(fc.tuple(key, tie("json")), { maxLength: 5 })
      .map((entries): unknown =>
        JSON.parse(`{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(",")}}`),
      ),
  ),
}));

test.skipIf(!present)(
  `the specification's examples come out byte for byte${present ? "" : " (outside data not present)"}`,
  () => {
    expect(vectors.canonical_json.length).toBeGreaterThan(9);
    for (const { input, canonical } of vectors.canonical_json)
      expect(canonicalJson(JSON.parse(input)), input).toBe(canonical);
  },
);

test.skipIf(!present)(
  `what the specification rejects is rejected${present ? "" : " (outside data not present)"}`,
  () => {
    expect(vectors.canonical_json_rejected.length).toBeGreaterThan(1);
    for (const { input, why } of vectors.canonical_json_rejected)
      expect(() => canonicalJson(JSON.parse(input)), why).toThrow(CanonicalJsonError);
  },
);

describe("for any JSON value", () => {
  test("canonical JSON parses back to the same value, and is then the same text", () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = canonicalJson(value);
        const again: unknown = JSON.parse(text);
        expect(again).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(again)).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  test("keys stand in the order of their UTF-8 bytes", () => {
    fc.assert(
      fc.property(fc.uniqueArray(key, { maxLength: 20 }), (keys) => {
        const object: unknown = JSON.parse(`{${keys.map((k) => `${JSON.stringify(k)}:0`).join(",")}}`);
        const order = [...canonicalJson(object).matchAll(/"(?:[^"\\]|\\.)*"/g)].map(([k]) => JSON.parse(k));
        const expected = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(order).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test("the order in which keys were written does not matter", () => {
    fc.assert(
      fc.property(fc.uniqueArray(key, { maxLength: 10 }), (keys) => {
        const write = (names: string[]) =>
          canonicalJson(JSON.parse(`{${names.map((k) => `${JSON.stringify(k)}:1`).join(",")}}`));
        expect(write(keys)).toBe(write(keys.toReversed()));
      }),
    );
  });

  test("it holds no white space outside of strings and is valid UTF-8", () => {
    fc.assert(
      fc.property(json, (value) => {
        const outside = canonicalJson(value).replace(/"(?:[^"\\]|\\.)*"/g, "");
        expect(outside).not.toMatch(/\s/);
        expect(canonicalBytes(value).toString("utf8")).toBe(canonicalJson(value));
      }),
    );
  });
});

describe("what has no canonical form is refused", () => {
  class Money {
    amount = 1;
  }
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  test.each([
    ["a fraction", { a: 1.5 }],
    ["2^53", { a: 2 ** 53 }],
    ["-2^53", { a: -(2 ** 53) }],
    ["infinity", { a: Infinity }],
    ["NaN", { a: Number.NaN }],
    ["a lone high surrogate", { a: "\ud800" }],
    ["a lone low surrogate", { a: "\udc00b" }],
    ["a lone surrogate in a key", { "\ud800": 1 }],
    ["undefined", { a: undefined }],
    ["a bigint", { a: 1n }],
    ["a function", { toJSON: () => 1 }],
    ["a date", { a: new Date(0) }],
    ["a map", { a: new Map() }],
    ["an instance of a class", { a: new Money() }],
    ["a hole in an array", { a: new Array(1) }],
    ["a cycle", cyclic],
  ])("%s", (_name, value) => {
    expect(() => canonicalJson(value)).toThrow(CanonicalJsonError);
  });

  test("the error leads to the place", () => {
    const path = (value: unknown) => {
      try {
        canonicalJson(value);
      } catch (error) {
        return error instanceof CanonicalJsonError ? error.path : error;
      }
      return undefined;
    };
    expect(path({ a: { list: [1, 2, 0.5] } })).toEqual(["a", "list", 2]);
  });
});

describe("by hand", () => {
  test.each([
    ["minus zero is 0", [-0], "[0]"],
    ["the largest integers", [2 ** 53 - 1, -(2 ** 53) + 1], "[9007199254740991,-9007199254740991]"],
    ["short escapes, lower-case hex", '\b\t\n\f\r"\\\u0000\u001f', '"\\b\\t\\n\\f\\r\\"\\\\\\u0000\\u001f"'],
    ["nothing else is escaped", "/\u007f\u2028é", '"/\u007f\u2028é"'],
    ["U+E000 stands before U+10000", { "\u{10000}": 1, "\ue000": 2 }, '{"\ue000":2,"\u{10000}":1}'],
    ["common beginnings", { "a😀b": 1, "a😀": 2, a: 3 }, '{"a":3,"a😀":2,"a😀b":1}'],
    ["integer-like keys have no order of their own", { 10: 1, 9: 2 }, '{"10":1,"9":2}'],
  ])("%s", (_name, value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  test("__proto__ is a key like any other", () => {
    const text = '{"__proto__":{"admin":true},"a":1}';
    expect(canonicalJson(JSON.parse(text))).toBe(text);
  });

  test("64 levels are taken, 65 refused", () => {
    const nested = (levels: number): unknown => JSON.parse("[".repeat(levels) + "]".repeat(levels));
    expect(canonicalJson(nested(64))).toBe("[".repeat(64) + "]".repeat(64));
    expect(() => canonicalJson(nested(65))).toThrow(CanonicalJsonError);
  });
});
