import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { couple, WarmClient, widePolicy } from "../../cli/bench/couple.ts";
import { alternately, BareLoop, grownRows, makePiece, outputRate, usageOfBoth } from "./streaming.ts";

export const name = "streams-plain";
export const description =
  "100 MB of output, complete by digest, against a bare to-device PUT loop of the same chunks, on the embedded homeserver; memory of the daemons meanwhile";

const PIECE = 4_000_000;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind: "embedded", policy: widePolicy });
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
  const what = `${((n * PIECE) / 1e6).toFixed(0)} MB of output, embedded`;
  const against = `bare to-device PUT loop, ${median(theirs).toFixed(2)} MB/s`;
  return [
    compared({ what, against, unit: "MB/s", aim: "at least 0.6", must: { atLeast: 0.6 } }, ours, theirs),
    ...(await grownRows(what, they, before)),
  ];
}
