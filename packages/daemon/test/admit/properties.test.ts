import fc from "fast-check";
import { expect, test } from "vitest";
import { admit } from "../../src/admit/admit.ts";
import { anyEvent, mutated } from "./generated.ts";
import { judged } from "./invariants.ts";
import { eventOf, request, signed, worldOf } from "./support.ts";
import { anyCircumstances } from "./worlds.ts";

test("whatever arrives is decided on without an exception, and only what was signed so is admitted", () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(anyEvent, anyCircumstances, (event, circumstances) => {
      const outcome = judged(event, circumstances);
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }),
    { numRuns: 5_000, seed: 4 },
  );
  // The generator reaches the end of the list, and most of what is before it.
  for (const outcome of [
    "admitted",
    "held",
    "silence",
    "malformed_request",
    "expired",
    "from_the_future",
    "binding_mismatch",
    "invalid_signature",
    "unsigned",
    "untrusted_key",
    "revoked_key",
    "replayed",
    "unverified_device",
    "policy_denied",
    "rate_limited",
    "over_capacity",
  ])
    expect(seen.get(outcome) ?? 0, outcome).toBeGreaterThan(0);
});

test("the same event is decided on the same way twice", () => {
  fc.assert(
    fc.property(mutated, (event) => {
      expect(admit(event, worldOf())).toEqual(admit(event, worldOf()));
    }),
    { numRuns: 300 },
  );
});

test("a request that was changed in any one character after it was signed is not admitted", () => {
  const text = JSON.stringify(signed(request()));
  const original = JSON.stringify(JSON.parse(text));
  for (let at = 0; at < text.length; at++) {
    for (const other of ["a", "0", '"', "}"]) {
      let content: unknown;
      try {
        content = JSON.parse(text.slice(0, at) + other + text.slice(at + 1));
      } catch {
        continue;
      }
      if (JSON.stringify(content) === original) continue;
      expect(admit(eventOf(content), worldOf()).outcome, `${at}: ${other}`).not.toBe("admitted");
    }
  }
});
