import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { bothSides, timed } from "./side.ts";

export const name = "homeserver-start";
export const description =
  "From the start of the process to its first answer, on data that are there already; ours from its sources, types stripped on the way";

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
  ];
}
