import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { couple, WarmClient, widePolicy } from "../../cli/bench/couple.ts";
import { alternately, BareLoop, grownRows, makePiece, outputRate, usageOfBoth } from "./streaming.ts";

export const name = "streams-synapse";
export const description =
  "Output of a command, complete by digest, against a bare to-device PUT loop of the same chunks, on Synapse, in smaller pieces, for each takes seconds";

const PIECE = 1_000_000;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind: "synapse", policy: widePolicy });
  using client = await WarmClient.of(they);
  const bare = await BareLoop.on(they);
  makePiece(they, PIECE);
  const before = await usageOfBoth(they);
  const n = Math.max(3, Math.round(25 * scale));
  const [ours, theirs] = await alternately(
    n,
    () => outputRate(client, PIECE),
    () => bare.rate(PIECE),
    say,
  );
  const what = `${((n * PIECE) / 1e6).toFixed(0)} MB of output, Synapse`;
  const against = `bare to-device PUT loop, ${median(theirs).toFixed(2)} MB/s`;
  return [
    compared({ what, against, unit: "MB/s", aim: "at least 0.6", must: { atLeast: 0.6 } }, ours, theirs),
    ...(await grownRows(what, they, before)),
  ];
}
