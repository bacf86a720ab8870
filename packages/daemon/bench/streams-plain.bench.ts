import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { outputAgainstLoop } from "./streaming.ts";

export const name = "streams-plain";
export const description =
  "100 MB of output, complete by digest, against a bare to-device PUT loop of the same chunks, on the embedded homeserver; memory of the daemons meanwhile";

export function run(context: BenchContext): Promise<Row[]> {
  return outputAgainstLoop("embedded", 4_000_000, context);
}
