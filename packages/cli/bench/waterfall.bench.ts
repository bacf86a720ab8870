import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { reported } from "../../../scripts/bench/stats.ts";
import { couple, WarmClient, widePolicy } from "./couple.ts";

export const name = "exec-waterfall";
export const description =
  "Where the time of a command through a connected client goes, stage by stage, on the embedded homeserver; writing it down costs a few milliseconds of the whole";

/** From the place before to this one; the process that passes it, and what was done until there. */
const STAGES = [
  ["laptop", "request.before_record", "resolve the agent, build and sign the request"],
  ["laptop", "request.after_record", "record it"],
  ["laptop", "outbox.before_send", "take it from the outbox"],
  ["builder", "sync.before_commit", "send it until the other's /sync brings it"],
  ["builder", "sync.after_commit", "commit the event"],
  ["builder", "admit.before_audit", "decide"],
  ["builder", "admit.after_audit", "write and sync the audit line"],
  ["builder", "run.after_starting", "commit `starting`"],
  ["runner", "runner.start.before_mark", "hand it to the runner"],
  ["runner", "runner.start.after_mark", "mark it in the spool"],
  ["runner", "runner.spawn.after", "start the process"],
  ["runner", "runner.end.before", "wait for its end"],
  ["runner", "runner.end.after", "record the end"],
  ["builder", "run.before_ended", "hear of it, and hand the last chunks to the outbox"],
  ["builder", "run.after_ended", "record the outcome and its audit line"],
  ["laptop", "request.before_finished", "send it until the other's /sync brings it, and commit that"],
  ["laptop", "request.after_finished", "record it"],
] as const;

const FILE = "passed";

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind: "embedded", policy: widePolicy });
  const file = join(they.laptop.home, FILE);
  writeFileSync(file, "");
  const names = new Map<string, string>();
  for (const machine of [they.laptop, they.builder]) {
    machine.env.MX_AGENT_FAILPOINT = `trace:${file}`;
    await machine.run(["daemon", "stop"]);
    await machine.startDaemon();
    names.set(String(await machine.daemonPid()), machine.name);
  }
  using client = await WarmClient.of(they);
  for (let i = 0; i < 5; i++) await client.exec(["true"]);
  const n = Math.max(20, Math.round(200 * scale));
  const stages = STAGES.map((): number[] => []);
  const whole: number[] = [];
  for (let i = 1; i <= n; i++) {
    // What belongs to the command before, such as acknowledgements, is over then.
    await pause(50);
    writeFileSync(file, "");
    const start = clock();
    await client.exec(["true"]);
    const end = clock();
    whole.push(end - start);
    let before = start;
    const passed = readFileSync(file, "utf8").trim().split("\n");
    STAGES.forEach(([process, place], stage) => {
      const line = passed
        .map((text) => text.split(" "))
        .find(([pid = "", at]) => at === place && (names.get(pid) ?? "runner") === process);
      const at = Number(line?.[2]) / 1000;
      stages[stage]?.push(at - before);
      before = at;
    });
    if (i % 20 === 0) say(`${i} of ${n}`);
  }
  return [
    ...STAGES.map(([process, , what], stage) =>
      reported({ what: `${process}: ${what}`, unit: "ms" }, stages[stage] ?? []),
    ),
    reported({ what: "exec, all of it", unit: "ms" }, whole),
  ];
}

/** Milliseconds of the clock that all processes share. */
const clock = () => Number(process.hrtime.bigint() / 1000n) / 1000;
