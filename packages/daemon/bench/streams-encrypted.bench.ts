import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurns } from "../../../scripts/bench/sampling.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { couple, WarmClient, widePolicy } from "../../cli/bench/couple.ts";
import { grownRows, makePiece, outputRate, usageOfBoth } from "./streaming.ts";

export const name = "streams-encrypted";
export const description =
  "100 MB of output in an encrypted room, complete by digest, against the same in a plain one, on the embedded homeserver; memory of the daemons meanwhile";

const PIECE = 4_000_000;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using encrypted = await couple({ kind: "embedded", policy: widePolicy, encrypted: true });
  await using plain = await couple({ kind: "embedded", policy: widePolicy });
  using ourClient = await WarmClient.of(encrypted);
  using theirClient = await WarmClient.of(plain);
  for (const they of [encrypted, plain]) makePiece(they, PIECE);
  const before = await usageOfBoth(encrypted);
  const n = Math.max(3, Math.round(25 * scale));
  const { ours, theirs } = await inTurns(
    { ours: () => outputRate(ourClient, PIECE), theirs: () => outputRate(theirClient, PIECE) },
    { n, warm: 0, every: 1, say },
  );
  const what = `${((n * PIECE) / 1e6).toFixed(0)} MB of output in an encrypted room`;
  const against = `the same in a plain one, ${median(theirs).toFixed(2)} MB/s`;
  return [
    compared({ what, against, unit: "MB/s", aim: "reported" }, ours, theirs),
    ...(await grownRows(what, encrypted, before)),
  ];
}
