import { isDeepStrictEqual } from "node:util";
import { type Difference, differences } from "./differences.ts";
import type { Call } from "./story.ts";

export interface Mismatch {
  /** Which of the scenario's calls, from 0. */
  index: number;
  call: string;
  shows: string | undefined;
  /** Each place that differs: `rooms.join.!1.summary: {} expected, nothing there`. */
  differs: string[];
}

/**
 * What a server answered otherwise than Synapse did, expected differences aside. `used` learns which of
 * those were needed. Scenarios branch on no answer, so the calls of both correspond one to one.
 */
export function compare(
  expected: readonly Call[],
  got: readonly Call[],
  used: Set<Difference> = new Set(),
): Mismatch[] {
  const mismatches: Mismatch[] = [];
  for (let i = 0; i < Math.max(expected.length, got.length); i++) {
    const [theirs, ours] = [expected[i], got[i]];
    const differs = reconcile(theirs, ours, used);
    if (differs.length === 0) continue;
    mismatches.push({
      index: i,
      call: ours?.call ?? theirs?.call ?? "",
      shows: ours?.shows ?? theirs?.shows,
      differs,
    });
  }
  return mismatches;
}

function reconcile(theirs: Call | undefined, ours: Call | undefined, used: Set<Difference>): string[] {
  if (!theirs || !ours) return [theirs ? "the call was not made" : "the call is not in the recording"];
  let [a, b] = [answerOf(theirs), answerOf(ours)];
  const needed: Difference[] = [];
  for (const difference of differences) {
    if (isDeepStrictEqual(a, b)) break;
    const [nextA, nextB] = difference.level(a, b, theirs);
    if (isDeepStrictEqual(nextA, a) && isDeepStrictEqual(nextB, b)) continue;
    needed.push(difference);
    [a, b] = [nextA, nextB];
  }
  if (!isDeepStrictEqual(a, b)) return places(a, b, []);
  for (const one of needed) used.add(one);
  return [];
}

function places(expected: unknown, got: unknown, path: string[]): string[] {
  if (isDeepStrictEqual(expected, got)) return [];
  const [keyedExpected, keyedGot] = [keyed(expected), keyed(got)];
  if (keyedExpected && keyedGot) {
    const inside = places(keyedExpected, keyedGot, path);
    return inside.length > 0 ? inside : [`${path.join(".")}: the order differs`];
  }
  if (isObject(expected) && isObject(got) && Array.isArray(expected) === Array.isArray(got)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(got)]);
    return [...keys].flatMap((key) => places(expected[key], got[key], [...path, key]));
  }
  return [`${path.join(".")}: ${text(expected)} expected, ${text(got)} came`];
}

/** A list as an object, by what its items are called, so that one item too many does not shift the rest. */
function keyed(value: unknown): Record<string, unknown> | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const keys = value.map((item) =>
    isObject(item) ? (item.event_id ?? item.rule_id ?? item.device_id ?? itemName(item)) : undefined,
  );
  if (keys.some((key) => typeof key !== "string") || new Set(keys).size < keys.length) return undefined;
  return Object.fromEntries(value.map((item, i) => [`[${keys[i]}]`, item]));
}

const itemName = ({ type, state_key }: Record<string, unknown>) =>
  typeof type === "string" ? `${type}/${state_key ?? ""}` : undefined;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
const text = (value: unknown) => (value === undefined ? "nothing" : JSON.stringify(value));

export type Compared = Pick<Call, "status" | "body" | "content">;

function answerOf(call: Call): Compared {
  const { status, body, content } = call;
  // Through JSON, as the recording went: what is undefined is absent.
  return JSON.parse(JSON.stringify({ status, body, content }));
}
