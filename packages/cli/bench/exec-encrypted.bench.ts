import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurnsUntilDecided } from "../../../scripts/bench/sampling.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import type { HomeserverKind } from "../../../scripts/homeservers.ts";
import { BarePair } from "./bare-pair.ts";
import { couple, WarmClient, widePolicy } from "./couple.ts";

export const name = "exec-encrypted";
export const description =
  "A command through a connected client in an encrypted room against two encrypted send-to-decrypted trips of the bare SDK with its keys in memory";

/** What the embedded homeserver's aim leaves to us, milliseconds. */
const OWN_MS = 15;

export async function run(context: BenchContext): Promise<Row[]> {
  // The SDK logs each request.
  for (const level of ["trace", "debug", "info", "log", "warn"] as const) console[level] = () => {};
  return [...(await on("embedded", context)), ...(await on("synapse", context))];
}

async function on(kind: HomeserverKind, { scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind, policy: widePolicy, encrypted: true });
  using client = await WarmClient.of(they);
  using bare = await BarePair.on(they.homeserver);
  const n = Math.max(20, Math.round(200 * scale));
  const embedded = kind === "embedded";
  return await inTurnsUntilDecided(
    { exec: async () => (await client.exec(["true"])).ms, floor: () => bare.roundTrip() },
    { n, atMost: 5 * n, warm: 5, say: (line) => say(`${kind}: ${line}`) },
    rowsOf,
  );

  function rowsOf({ exec, floor }: Record<"exec" | "floor", number[]>): Row[] {
    const bound = embedded ? floor.map((ms) => ms + OWN_MS) : floor;
    return [
      compared(
        {
          what: `exec in an encrypted room, ${kind}, p50`,
          against: `two trips of the bare SDK${embedded ? ` + ${OWN_MS} ms` : ""}, ${median(bound).toFixed(1)} ms`,
          unit: "ms",
          aim: embedded ? `floor + ${OWN_MS} ms: at most 1 ×` : "at most 1.3 ×",
          must: { atMost: embedded ? 1 : 1.3 },
        },
        exec,
        bound,
      ),
    ];
  }
}
