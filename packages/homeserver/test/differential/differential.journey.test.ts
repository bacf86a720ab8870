import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { compare } from "./compare.ts";
import { type Difference, differences } from "./differences.ts";
import { readRecording } from "./recording.ts";
import { scenarios } from "./scenarios/index.ts";
import { play } from "./story.ts";

/**
 * One script, two servers: what Synapse answered is in synapse.jsonl. On the embedded homeserver every
 * answer is the same but for the expected differences; on Synapse itself there is none at all, which shows
 * that the recording is true.
 */
const recording = readRecording();
const used = new Set<Difference>();
let homeserver: TestHomeserver;

beforeAll(async () => {
  homeserver = await startHomeserverForTests();
});
afterAll(() => homeserver.close());

describe("the homeserver answers as Synapse does", () => {
  test.each(scenarios)("$name", async (scenario) => {
    const { calls } = await play(scenario, homeserver, undefined);
    const expected = recording.get(scenario.name) ?? [];
    expect(compare(expected, calls, used)).toEqual([]);
  });

  test("the script is the one that was recorded, and a long one", () => {
    expect([...recording.keys()]).toEqual(scenarios.map(({ name }) => name));
    expect([...recording.values()].flat().length).toBeGreaterThan(150);
  });

  test("the expected differences are few, and each is still there; Synapse has none with itself", () => {
    expect(differences.length).toBeLessThanOrEqual(10);
    const names = homeserver.kind === "synapse" ? [] : differences.map(({ name }) => name);
    expect([...used].map(({ name }) => name).sort()).toEqual(names.sort());
  });
});
