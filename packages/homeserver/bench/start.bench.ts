import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { timeOf } from "../../cli/bench/timed.ts";
import { mxAgent } from "../../cli/test/support/machine.ts";
import { bothSides, timed } from "./side.ts";

export const name = "homeserver-start";
export const description =
  "From the start of the process to its first answer, on data that are there already; ours from its sources, types stripped on the way; and the built command, until it has returned with the homeserver in the background";

/** What an operator waits for without noticing, milliseconds. */
const ALL_IN_MS = 500;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using sides = await bothSides();
  const { ours, synapse } = sides;
  const n = Math.max(3, Math.round(15 * scale));
  const [own, theirs]: [number[], number[]] = [[], []];
  for (let i = 0; i < n; i++) {
    for (const [side, samples] of [
      [ours, own],
      [synapse, theirs],
    ] as const) {
      await side.homeserver.kill("SIGTERM");
      samples.push(
        await timed(async () => {
          await side.homeserver.restart();
          await (await fetch(`${side.homeserver.url}/_matrix/client/versions`)).arrayBuffer();
        }),
      );
    }
    say(`${i + 1} of ${n}: ${own.at(-1)?.toFixed(0)} and ${theirs.at(-1)?.toFixed(0)} ms`);
  }
  return [
    compared(
      {
        what: "start to first answer",
        against: `Synapse, ${median(theirs).toFixed(0)} ms`,
        unit: "ms",
        aim: "at most 1/2",
        must: { atMost: 0.5 },
      },
      own,
      theirs,
    ),
    await allIn(n),
  ];
}

/** `mx-agent homeserver start`, from its start to its end, on data that are there already. */
async function allIn(n: number): Promise<Row> {
  const home = await mkdtemp(join(tmpdir(), "mx-start-"));
  const data = join(home, "homeserver");
  const homeserver = (...args: string[]) =>
    timeOf([process.execPath, mxAgent, "homeserver", ...args, "--data", data], {
      PATH: process.env.PATH,
      HOME: home,
      MX_AGENT_HOME: home,
    });
  const samples: number[] = [];
  try {
    // The first start makes the data.
    for (let i = 0; i <= n; i++) {
      const ms = await homeserver("start", "--bind", "127.0.0.1:0");
      await homeserver("stop");
      if (i > 0) samples.push(ms);
    }
  } finally {
    await homeserver("stop").catch(() => {});
    await rm(home, { recursive: true, force: true });
  }
  return compared(
    {
      what: "mx-agent homeserver start, all in",
      against: `${ALL_IN_MS} ms`,
      unit: "ms",
      aim: "at most 1 ×",
      must: { atMost: 1 },
    },
    samples,
    samples.map(() => ALL_IN_MS),
  );
}
