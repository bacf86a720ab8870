import { isDeepStrictEqual } from "node:util";
import { type Difference, differences } from "./differences.ts";
import type { Call } from "./story.ts";

export interface Mismatch {
  scenario: string;
  call: string;
  shows: string | undefined;
  expected: unknown;
  got: unknown;
}

/**
 * What a server answered otherwise than Synapse did, expected differences aside. `used` learns which of
 * those were needed. Scenarios branch on no answer, so the calls of both correspond one to one.
 */
export function compare(
  scenario: string,
  expected: readonly Call[],
  got: readonly Call[],
  used: Set<Difference> = new Set(),
): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (let i = 0; i < Math.max(expected.length, got.length); i++) {
    const [theirs, ours] = [expected[i], got[i]];
    if (theirs && ours && reconciled(theirs, ours, used)) continue;
    mismatches.push({
      scenario,
      call: ours?.call ?? theirs?.call ?? "",
      shows: ours?.shows ?? theirs?.shows,
      expected: theirs && answerOf(theirs),
      got: ours && answerOf(ours),
    });
  }
  return mismatches;
}

function reconciled(theirs: Call, ours: Call, used: Set<Difference>): boolean {
  let [a, b] = [answerOf(theirs), answerOf(ours)];
  if (isDeepStrictEqual(a, b)) return true;
  const needed: Difference[] = [];
  for (const difference of differences) {
    const [nextA, nextB] = difference.level(a, b, theirs);
    if (isDeepStrictEqual(nextA, a) && isDeepStrictEqual(nextB, b)) continue;
    needed.push(difference);
    [a, b] = [nextA, nextB];
    if (!isDeepStrictEqual(a, b)) continue;
    for (const one of needed) used.add(one);
    return true;
  }
  return false;
}

export type Compared = Pick<Call, "status" | "body" | "content">;

function answerOf(call: Call): Compared {
  const { status, body, content } = call;
  // Through JSON, as the recording went: what is undefined is absent.
  return JSON.parse(JSON.stringify({ status, body, content }));
}
