/**
 * Plays every scenario on a real Synapse and writes what it answered to synapse.jsonl, one call a line:
 *
 *   node packages/homeserver/test/differential/record.ts
 *
 * To be run again when a scenario changes or Synapse's version does; the difference is read before it is
 * committed. `npm run test:synapse` fails when the file is not what Synapse answers.
 */
import { startHomeserverForTests } from "../../../../scripts/homeservers.ts";
import { Conformance, outsideData } from "../support/validated-client.ts";
import { writeRecording } from "./recording.ts";
import { scenarios } from "./scenarios/index.ts";
import { type Call, play } from "./story.ts";

const homeserver = await startHomeserverForTests({ kind: "synapse" });
const conformance = outsideData ? new Conformance() : undefined;
const recording = new Map<string, Call[]>();
let deviations = 0;
try {
  for (const scenario of scenarios) {
    const story = await play(scenario, homeserver, conformance);
    recording.set(scenario.name, story.calls);
    for (const problem of story.problems) process.stdout.write(`${scenario.name}: ${problem}\n`);
    deviations += story.problems.length;
  }
} finally {
  await homeserver.close();
}
writeRecording(recording);
const calls = [...recording.values()].reduce((sum, list) => sum + list.length, 0);
process.stdout.write(
  `${recording.size} scenarios, ${calls} calls, ${deviations} deviations from the specification\n`,
);
