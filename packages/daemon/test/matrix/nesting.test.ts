import fc from "fast-check";
import { expect, test } from "vitest";
import { cutNesting, shallow } from "../../src/matrix/nesting.ts";

const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;

test("an ordinary answer is left as it is, to the letter", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      expect(shallow(text)).toBe(text);
    }),
  );
});

test("a hundred thousand levels become few, and what stands beside them stays", () => {
  const text = `{"rooms":{"a":{"deep":${nested(100_000)},"body":"x"}},"next_batch":"s1"}`;
  const value: { rooms: { a: { body: string } }; next_batch: string } = JSON.parse(shallow(text));
  expect(value).toMatchObject({ rooms: { a: { body: "x" } }, next_batch: "s1" });
  expect(JSON.stringify(value).length).toBeLessThan(1_000);
});

test("brackets inside of strings are no nesting, whatever is escaped there", () => {
  const text = JSON.stringify({ body: `${"[".repeat(500)}\\"${"{".repeat(500)}` });
  expect(shallow(text)).toBe(text);
});

test("what is no JSON is left to whoever parses it", () => {
  expect(shallow("<html>")).toBe("<html>");
  expect(shallow("[".repeat(1_000))).toBe("[".repeat(1_000));
});

test("what came out of encryption can be written down, however deep it was made", () => {
  const content: unknown = JSON.parse(`{"body":"x","deep":${nested(100_000)}}`);
  expect(() => JSON.stringify(content)).toThrow(RangeError);
  expect(JSON.stringify(cutNesting({ type: "t", content })).length).toBeLessThan(1_000);
  expect(cutNesting({ type: "t", content: { a: [1, { b: null }] } })).toEqual({
    type: "t",
    content: { a: [1, { b: null }] },
  });
});
