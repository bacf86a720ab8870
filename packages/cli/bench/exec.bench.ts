import { execFileSync } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurnsUntilDecided } from "../../../scripts/bench/sampling.ts";
import { compared, median, quantile } from "../../../scripts/bench/stats.ts";
import type { HomeserverKind } from "../../../scripts/homeservers.ts";
import { couple, WarmClient, widePolicy } from "./couple.ts";
import { Floor } from "./floor.ts";

export const name = "exec-floor";
export const description =
  "A command through a connected client against its floor (as many serial sends and syncs by raw HTTP, durable commits and a process); the first byte of live output against one send until the other's sync";

/** What the embedded homeserver's aim leaves to us, milliseconds. */
const OWN_MS = 10;

export async function run(context: BenchContext): Promise<Row[]> {
  return [...(await on("embedded", context)), ...(await on("synapse", context))];
}

async function on(kind: HomeserverKind, { scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind, policy: widePolicy });
  using client = await WarmClient.of(they);
  using floor = await Floor.on(they.homeserver);
  const fifo = join(they.project, "fifo");
  execFileSync("mkfifo", [fifo]);
  const n = Math.max(20, Math.round(200 * scale));
  return await inTurnsUntilDecided(
    {
      exec: async () => (await client.exec(["true"])).ms,
      floor: () => floor.roundTrip(),
      first: () => firstByte(client, fifo),
      send: () => floor.sendToSync(),
    },
    { n, atMost: 5 * n, warm: 5, say: (line) => say(`${kind}: ${line}`) },
    (samples) => rowsOf(kind, samples),
  );
}

function rowsOf(kind: HomeserverKind, samples: Record<"exec" | "floor" | "first" | "send", number[]>): Row[] {
  const p95 = (list: readonly number[]) => quantile(list, 0.95);
  const against = (what: string, list: readonly number[], statistic = median) =>
    `${what}, ${statistic(list).toFixed(1)} ms`;
  const allowed = samples.floor.map((ms) => ms + OWN_MS);
  const embedded = kind === "embedded";
  const [bound, aim, must] = embedded
    ? ([allowed, `floor + ${OWN_MS} ms: at most 1 ×`, { atMost: 1 }] as const)
    : ([samples.floor, "at most 1.3 ×", { atMost: 1.3 }] as const);
  const label = embedded ? `floor + ${OWN_MS} ms` : "floor";
  return [
    compared(
      { what: `exec, ${kind}, p50`, against: against(label, bound), unit: "ms", aim, must },
      samples.exec,
      bound,
    ),
    compared(
      { what: `exec, ${kind}, p95`, against: against(label, bound, p95), unit: "ms", aim, must },
      samples.exec,
      bound,
      p95,
    ),
    compared(
      {
        what: `first byte of a running command, from its write until it is read, ${kind}`,
        against: against("send until the other's sync", samples.send),
        ...{ unit: "ms", aim: "at most 2 ×", must: { atMost: 2 } },
      },
      samples.first,
      samples.send,
    ),
  ];
}

/** The command blocks until something is written for it to print: from then until the connected client has it. */
async function firstByte(client: WarmClient, fifo: string): Promise<number> {
  const running = client.exec(["cat", fifo]);
  const write = async () => {
    // Resolves when the command has opened its end.
    const file = await open(fifo, "w");
    const at = performance.now();
    await file.write("here\n");
    await file.close();
    return at;
  };
  const [written, { first_at = Number.NaN }] = await Promise.all([write(), running]);
  return first_at - written;
}
