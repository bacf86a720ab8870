import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurns } from "../../../scripts/bench/sampling.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { couple, WarmClient, widePolicy } from "../../cli/bench/couple.ts";
import { BareLoop, grownRows, inputRate, usageOfBoth } from "./streaming.ts";

export const name = "stdin";
export const description =
  "200 MB of stdin into a command on the other machine, against a bare to-device PUT loop of the same chunks, on the embedded homeserver; memory of the daemons meanwhile";

const PIECE = 10_000_000;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind: "embedded", policy: widePolicy });
  using client = await WarmClient.of(they);
  const bare = await BareLoop.on(they);
  const before = await usageOfBoth(they);
  const n = Math.max(2, Math.round(20 * scale));
  const { ours, theirs } = await inTurns(
    { ours: () => inputRate(client, PIECE), theirs: () => bare.rate(PIECE) },
    { n, warm: 0, every: 1, say },
  );
  const what = `${((n * PIECE) / 1e6).toFixed(0)} MB of stdin, embedded`;
  const against = `bare to-device PUT loop, ${median(theirs).toFixed(2)} MB/s`;
  return [
    compared({ what, against, unit: "MB/s", aim: "reported" }, ours, theirs),
    ...(await grownRows(what, they, before)),
  ];
}
