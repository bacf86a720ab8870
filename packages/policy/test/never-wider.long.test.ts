import { expect, test } from "vitest";
import { endsWhatHasMore } from "./support/ending.ts";
import { neverWider } from "./support/widening.ts";

const runs = Math.ceil(3000 * Number(process.env.MX_TEST_SCALE ?? "1"));

/** So many policies that none of the three decisions is missing by chance. */
const ENOUGH = 500;

test(`removing a rule, lowering a limit or deepening a path never allows more, in ${runs} policies`, () => {
  const seen = neverWider(runs);
  // In many policies all three happen, or the property would say little; in a few one may be missing by chance.
  if (runs >= ENOUGH) expect(Math.min(seen.allow, seen.hold, seen.deny)).toBeGreaterThan(0);
  else expect(seen.deny).toBeGreaterThan(0);
});

test(`what runs is ended by a tightening where it has more, and else goes on, in ${runs} policies`, () => {
  const seen = endsWhatHasMore(runs);
  if (runs >= ENOUGH) expect(Math.min(seen.ended, seen.goesOn, seen.loosened)).toBeGreaterThan(0);
});
