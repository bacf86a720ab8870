import { setImmediate as breath } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { anyEvent } from "./generated.ts";
import { judged } from "./invariants.ts";
import { anyCircumstances } from "./worlds.ts";

/** 1,000,000 events at MX_TEST_SCALE=1. */
const events = Math.ceil(1_000_000 * Number(process.env.MX_TEST_SCALE ?? 1));
const BATCH = 10_000;

test(`of ${events} generated events none ends the admission otherwise than by a decision`, async () => {
  const seed = Number(process.env.MX_TEST_SEED ?? Date.now() & 0x7fffffff);
  const admitted = { count: 0 };
  for (let done = 0; done < events; done += BATCH) {
    const property = fc.property(anyEvent, anyCircumstances, (event, circumstances) => {
      if (judged(event, circumstances) === "admitted") admitted.count++;
    });
    // fast-check says seed and path of what fails; MX_TEST_SEED repeats it.
    fc.assert(property, { numRuns: Math.min(BATCH, events - done), seed: seed + done });
    // What reports the test's progress has a time limit of its own.
    await breath();
  }
  expect(admitted.count).toBeGreaterThan(0);
});
