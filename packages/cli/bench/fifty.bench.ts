import { execFileSync } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurns } from "../../../scripts/bench/sampling.ts";
import { compared, median, reported } from "../../../scripts/bench/stats.ts";
import type { HomeserverKind } from "../../../scripts/homeservers.ts";
import { type Couple, couple, pidsOf, usageOf, WarmClient, widePolicy } from "./couple.ts";

export const name = "fifty";
export const description =
  "50 runs at once against one: how long until all have ended, and what the daemons and the runner take for each while all of them run";

const AT_ONCE = 50;
/** How long fifty runs may take to be under way, milliseconds. */
const UNDER_WAY_MS = 180_000;

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
  // They wait for an end of input that comes when memory was looked at.
  const fifo = join(they.project, "fifo");
  execFileSync("mkfifo", [fifo]);
  const waiting = all(["cat", fifo]);
  // Where one fails it is said below, or the couple is gone by then.
  waiting.catch(() => {});
  const holding = await open(fifo, "r+");
  let busy: typeof idle;
  try {
    await untilUnderWay(they);
    busy = await usage(they);
  } finally {
    await holding.close();
  }
  await waiting;
  const { one, fifty } = await inTurns(
    {
      one: async () => (await client.exec(["true"])).ms,
      fifty: async () => Math.max(...(await all(["true"])).map(({ ms }) => ms)),
    },
    { n: Math.max(3, Math.round(10 * scale)), warm: 1, every: 1, say },
  );
  say(`${kind}: 50 take ${(median(fifty) / 1000).toFixed(2)} s`);
  const each = (who: keyof typeof idle) =>
    reported(
      {
        what: `memory of the ${who} for each of 50 runs, ${kind}`,
        against: `${idle[who].toFixed(0)} MB without runs`,
        unit: "MB",
      },
      [(busy[who] - idle[who]) / AT_ONCE],
    );
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

async function untilUnderWay({ builder }: Couple): Promise<void> {
  let running = 0;
  for (const start = performance.now(); performance.now() - start < UNDER_WAY_MS; await pause(100)) {
    ({ running_invocations: running } = await builder.ask<{ running_invocations: number }>([
      ...["daemon", "status"],
    ]));
    if (running === AT_ONCE) return;
  }
  throw new Error(`${running} of ${AT_ONCE} run at once`);
}

async function usage(they: Couple) {
  const [laptop, builder] = [await pidsOf(they.laptop), await pidsOf(they.builder)];
  return {
    "asking daemon": usageOf(laptop.daemon).rss_mb,
    "executing daemon": usageOf(builder.daemon).rss_mb,
    runner: usageOf(builder.runner).rss_mb,
  };
}
