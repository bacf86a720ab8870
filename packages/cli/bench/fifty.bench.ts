import { setTimeout as pause } from "node:timers/promises";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import type { HomeserverKind } from "../../../scripts/homeservers.ts";
import { type Couple, couple, pidsOf, usageOf, WarmClient, widePolicy } from "./couple.ts";
import { inTurns } from "./timed.ts";

export const name = "fifty";
export const description =
  "50 runs at once against one: how long until all have ended, and what the daemons and the runner take for each while all of them run";

const AT_ONCE = 50;
/** Seconds that each of the runs sleeps while memory is looked at. */
const SLEEP_S = 40;

export async function run(context: BenchContext): Promise<Row[]> {
  return [...(await on("embedded", context)), ...(await on("synapse", context))];
}

async function on(kind: HomeserverKind, { scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind, policy: widePolicy });
  using client = await WarmClient.of(they);
  const all = (command: string[]) => Promise.all(Array.from({ length: AT_ONCE }, () => client.exec(command)));
  await client.exec(["true"]);
  // Before anything else: memory that fifty runs took once is there for the next fifty.
  const idle = await usage(they);
  const sleeping = all(["sleep", String(SLEEP_S)]);
  let running = 0;
  const deadline = performance.now() + (SLEEP_S - 5) * 1000;
  while (running < AT_ONCE && performance.now() < deadline) {
    await pause(100);
    running = await they.builder
      .ask<{ running_invocations: number }>(["daemon", "status"])
      .then((status) => status.running_invocations);
  }
  if (running < AT_ONCE) throw new Error(`${running} of ${AT_ONCE} run at once`);
  const busy = await usage(they);
  await sleeping;
  const { one, fifty } = await inTurns(
    {
      one: async () => (await client.exec(["true"])).ms,
      fifty: async () => Math.max(...(await all(["true"])).map(({ ms }) => ms)),
    },
    { n: Math.max(3, Math.round(10 * scale)), warm: 1, say },
  );
  say(`${kind}: 50 take ${(median(fifty) / 1000).toFixed(2)} s`);
  const each = (who: keyof typeof idle): Row => ({
    what: `memory of the ${who} for each of 50 runs, ${kind}`,
    against: `${idle[who].toFixed(0)} MB without runs`,
    ...{ n: 1, median: (busy[who] - idle[who]) / AT_ONCE, p95: undefined, unit: "MB" },
    ...{ ratio: undefined, interval: undefined, aim: "reported", verdict: "reported" },
  });
  return [
    compared(
      {
        what: `50 runs at once, ${kind}`,
        against: `one, ${median(one).toFixed(0)} ms`,
        unit: "ms",
        aim: "reported",
      },
      fifty,
      one,
    ),
    each("asking daemon"),
    each("executing daemon"),
    each("runner"),
  ];
}

async function usage(they: Couple) {
  const [laptop, builder] = [await pidsOf(they.laptop), await pidsOf(they.builder)];
  return {
    "asking daemon": usageOf(laptop.daemon).rss_mb,
    "executing daemon": usageOf(builder.daemon).rss_mb,
    runner: usageOf(builder.runner).rss_mb,
  };
}
