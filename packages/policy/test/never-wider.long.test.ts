import { expect, test } from "vitest";
import { neverWider } from "./support/widening.ts";

const runs = Math.ceil(3000 * Number(process.env.MX_TEST_SCALE ?? "1"));

test(`removing a rule, lowering a limit or deepening a path never allows more, in ${runs} policies`, () => {
  const seen = neverWider(runs);
  // The world is small enough that all three happen, or the property would say little.
  expect(Math.min(seen.allow, seen.hold, seen.deny)).toBeGreaterThan(0);
});
