import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { outputAgainstLoop } from "./streaming.ts";

export const name = "streams-synapse";
export const description =
  "Output of a command, complete by digest, against a bare to-device PUT loop of the same chunks, on Synapse, in smaller pieces, for each takes seconds";

export function run(context: BenchContext): Promise<Row[]> {
  return outputAgainstLoop("synapse", 1_000_000, context);
}
