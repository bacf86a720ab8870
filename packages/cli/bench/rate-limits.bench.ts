import { setTimeout as pause } from "node:timers/promises";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { reported } from "../../../scripts/bench/stats.ts";
import { couple, wholeProgram } from "./couple.ts";

export const name = "rate-limits";
export const description = "Ten commands in a row on a Synapse with the rate limits that it comes with";

/** What such a server needs to give a user all of his burst back: 10 messages at 0.2 a second. */
const CALM_MS = 60_000;

export async function run({ say }: BenchContext): Promise<Row[]> {
  say("two daemons on a Synapse with its default rate limits: this takes minutes");
  await using they = await couple({ kind: "synapse", defaultRateLimits: true });
  await pause(CALM_MS);
  const start = performance.now();
  for (let i = 1; i <= 10; i++) {
    await wholeProgram(they);
    say(`${i} of 10 after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
  const what = "ten × exec -- true, Synapse with its default rate limits";
  return [reported({ what, unit: "s" }, [(performance.now() - start) / 1000])];
}
