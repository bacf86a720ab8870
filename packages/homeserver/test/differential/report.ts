/**
 * Plays the scenarios on the embedded homeserver and writes what it answers otherwise than Synapse did, with
 * what was sent, and what contradicts the specification:
 *
 *   node packages/homeserver/test/differential/report.ts [NAME OF A SCENARIO, OR A PART OF IT]
 */
import { startHomeserverForTests } from "../../../../scripts/homeservers.ts";
import { Conformance, outsideData } from "../support/validated-client.ts";
import { compare } from "./compare.ts";
import type { Difference } from "./differences.ts";
import { readRecording } from "./recording.ts";
import { scenarios } from "./scenarios/index.ts";
import { play } from "./story.ts";

const wanted = process.argv[2] ?? "";
const recording = readRecording();
const conformance = outsideData ? new Conformance() : undefined;
const homeserver = await startHomeserverForTests();
const used = new Set<Difference>();
const print = (line: string) => process.stdout.write(`${line}\n`);
let [different, contradicting, calls] = [0, 0, 0];
try {
  for (const scenario of scenarios.filter(({ name }) => name.includes(wanted))) {
    const story = await play(scenario, homeserver, conformance);
    const mismatches = compare(recording.get(scenario.name) ?? [], story.calls, used);
    calls += story.calls.length;
    different += mismatches.length;
    contradicting += story.problems.length;
    if (mismatches.length + story.problems.length > 0) print(`\n## ${scenario.name}\n`);
    for (const { index, call, shows, differs } of mismatches) {
      print(`- ${call}${shows === undefined ? "" : ` (${shows})`}`);
      const sent = JSON.stringify(story.sent[index]);
      if (sent !== undefined) print(`  - sent: \`${sent.slice(0, 1_000)}\``);
      for (const place of differs) print(`  - ${place}`);
    }
    for (const problem of story.problems) print(`- against the specification: ${problem}`);
  }
} finally {
  await homeserver.close();
}
print(`\n${calls} calls, ${different} different, ${contradicting} against the specification`);
print(`expected differences met: ${[...used].map(({ name }) => name).join("; ")}`);
