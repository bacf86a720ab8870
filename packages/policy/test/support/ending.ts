import fc from "fast-check";
import { expect } from "vitest";
import { beyond, type Decision, type Grant, type PolicyRequest } from "../../src/index.ts";
import type { Document } from "../../src/schema.ts";
import { policies, requests, tightenings } from "./arbitrary.ts";
import { outcome, widenedGrant } from "./widening.ts";

/** What a request is started with; null where it is not. */
export function grantOf(document: Document, request: PolicyRequest): Grant | null {
  const decision = outcome(document, request);
  return decision?.effect === "allow" ? decision.grant : null;
}

/** What is decided on it while it runs. */
export function later(document: Document, request: PolicyRequest, under: Grant): Decision | null {
  return outcome(document, { ...request, under });
}

/** A rate and a device that was verified are about what starts; how many there are, about who is too many. */
const ABOUT_OTHERS = ["max_per_minute", "require_verified_device", "max_concurrent"];

/** Random policies, each with every tightening of it, while something runs: what came of it is counted. */
export function endsWhatHasMore(numRuns: number): { ended: number; goesOn: number; loosened: number } {
  const seen = { ended: 0, goesOn: 0, loosened: 0 };
  fc.assert(
    fc.property(policies, requests, (policy, request) => {
      const under = grantOf(policy, request);
      for (const [name, tighter] of tightenings(policy)) {
        const less = grantOf(tighter, request);
        if (under) {
          const now = later(tighter, request, under);
          // The files are what they were, so that it is the same decision.
          expect([name, now?.effect === "allow" ? now.grant : null]).toEqual([name, less]);
          if (now?.effect !== "allow") continue;
          const more = widenedGrant(now.grant, under).filter((part) => !ABOUT_OTHERS.includes(part));
          expect([name, beyond(under, now.grant, 0).length > 0]).toEqual([name, more.length > 0]);
          if (more.length > 0) seen.ended++;
          else seen.goesOn++;
        }
        if (less) {
          const now = later(policy, request, less);
          expect([name, now?.effect]).toEqual([name, "allow"]);
          if (now?.effect === "allow") expect([name, beyond(less, now.grant, 1_000)]).toEqual([name, []]);
          seen.loosened++;
        }
      }
    }),
    { numRuns },
  );
  return seen;
}
