import { readFileSync, writeFileSync } from "node:fs";
import type { Call } from "./story.ts";

const file = new URL("synapse.jsonl", import.meta.url);

/** What Synapse answered, by scenario. */
export function readRecording(): Map<string, Call[]> {
  const recording = new Map<string, Call[]>();
  let current: Call[] = [];
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (line === "") continue;
    const entry: Call | { scenario: string } = JSON.parse(line);
    if ("scenario" in entry) {
      current = [];
      recording.set(entry.scenario, current);
    } else current.push(entry);
  }
  return recording;
}

export function writeRecording(recording: Map<string, Call[]>): void {
  const lines: string[] = [];
  for (const [scenario, calls] of recording) {
    lines.push(JSON.stringify({ scenario }), ...calls.map((call) => JSON.stringify(call)));
  }
  writeFileSync(file, `${lines.join("\n")}\n`);
}
