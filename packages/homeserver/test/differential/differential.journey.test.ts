import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { unexpected } from "../conformance/deviations.ts";
import {
  Conformance,
  outsideData,
  outsideDataMissing,
  ValidatedClient,
} from "../support/validated-client.ts";
import { compare } from "./compare.ts";
import { type Difference, differences } from "./differences.ts";
import { readRecording } from "./recording.ts";
import { scenarios } from "./scenarios/index.ts";
import { play } from "./story.ts";

/**
 * One script, two servers: what Synapse answered is in synapse.jsonl. On the embedded homeserver every
 * answer is the same but for the expected differences; on Synapse itself there is none at all, which shows
 * that the recording is true. Every answer of both is checked against the specification as well.
 */
const recording = readRecording();
const conformance = outsideData ? new Conformance() : undefined;
const used = new Set<Difference>();
const problems = new Map<string, string[]>();
let homeserver: TestHomeserver;

beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  // The first run on a machine installs Synapse.
}, 600_000);
afterAll(() => homeserver.close());

describe("the homeserver answers as Synapse does", () => {
  test.each(scenarios)("$name", async (scenario) => {
    const story = await play(scenario, homeserver, conformance);
    problems.set(scenario.name, story.problems);
    expect(compare(recording.get(scenario.name) ?? [], story.calls, used)).toEqual([]);
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

describe("the homeserver answers as the specification says", () => {
  test("every answer of the script validates", ({ skip }) => {
    if (!conformance) return skip(outsideDataMissing);
    const found = [...problems].flatMap(([scenario, list]) => list.map((one) => `${scenario}: ${one}`));
    expect(problems.size).toBe(scenarios.length);
    expect(unexpected(found, homeserver.kind)).toEqual([]);
  });

  test("every endpoint that the embedded homeserver has is in the script", async ({ skip }) => {
    if (!conformance) return skip(outsideDataMissing);
    if (homeserver.kind === "synapse") return;
    const client = new ValidatedClient(homeserver.url, undefined);
    const missing: string[] = [];
    for (const { method, template, path } of conformance.operations("x")) {
      const { status, body } = await client.exchange({
        method,
        path,
        ...(method === "GET" ? {} : { body: {} }),
      });
      const unrecognized =
        (status === 404 || status === 405) && JSON.stringify(body ?? {}).includes("M_UNRECOGNIZED");
      // Without a token no media are to be had, and every one is answered as if it were not there.
      const open = /^\/_matrix\/media\/v3\/(download|thumbnail)\//.test(template) && status === 404;
      const seen = [200, 201].some((ok) => conformance.covered.has(`${method} ${template} ${ok}`));
      if (!unrecognized && !open && !seen) missing.push(`${method} ${template}`);
    }
    expect(missing).toEqual([]);
  });
});
