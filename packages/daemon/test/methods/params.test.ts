import { expect, test } from "vitest";
import { parser, room, timer_ms } from "../../src/methods/params.ts";
import { waitUntil } from "../../src/request/wait-until.ts";

const DAY_MS = 86_400_000;

test("to wait for longer than a timer can is refused, and not over at once", () => {
  const parse = parser(timer_ms);
  expect(parse(24 * DAY_MS)).toBe(24 * DAY_MS);
  expect(() => parse(30 * DAY_MS)).toThrow(
    expect.objectContaining({ code: "MX_USAGE", message: expect.stringContaining("at most 24 days") }),
  );
});

test("an outcome that is due in a month is waited for", async () => {
  const { done, cancel } = waitUntil(30 * DAY_MS);
  const first = await Promise.race([done, new Promise((resolve) => setTimeout(() => resolve("later"), 20))]);
  cancel();
  expect(first).toBe("later");
});

test.each([
  ["", "it is empty"],
  ["x".repeat(256), "it has more than 255 characters"],
])("a name that is too short or too long is told in words, and not in those of a library", (name, said) => {
  expect(() => parser(room)(name)).toThrow(expect.objectContaining({ code: "MX_USAGE", message: said }));
});
