import { execFileSync } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurnsUntilDecided } from "../../../scripts/bench/sampling.ts";
import { compared, median, quantile } from "../../../scripts/bench/stats.ts";
import type { HomeserverKind } from "../../../scripts/homeservers.ts";
import { type Backend, bareSpawn } from "./bare-spawn.ts";
import { couple, WarmClient, widePolicy } from "./couple.ts";
import { Floor } from "./floor.ts";

export const name = "exec-floor";
export const description =
  "A command through a connected client against its floor (as many serial sends and syncs by raw HTTP, durable commits and a process in the same sandbox), without a sandbox and in bubblewrap; the first byte of live output against one send until the other's sync";

/** What the embedded homeserver's aim leaves to us, milliseconds. */
const OWN_MS = 10;

export async function run(context: BenchContext): Promise<Row[]> {
  const rows: Row[] = [];
  for (const kind of ["embedded", "synapse"] as const)
    for (const backend of ["none", "bubblewrap"] as const) rows.push(...(await on(kind, backend, context)));
  return rows;
}

async function on(kind: HomeserverKind, backend: Backend, { scale, say }: BenchContext): Promise<Row[]> {
  const policy: typeof widePolicy = (...of) =>
    widePolicy(...of).replace(
      'sandbox = "none"\nnetwork = "allow"',
      backend === "none" ? "$&" : `sandbox = "${backend}"\nnetwork = "deny"`,
    );
  await using they = await couple({ kind, policy });
  using client = await WarmClient.of(they);
  using floor = await Floor.on(they.homeserver, await bareSpawn(backend, they.project));
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
    { n, atMost: 5 * n, warm: 5, say: (line) => say(`${kind}, ${backend}: ${line}`) },
    (samples) => rowsOf(kind, backend, samples),
  );
}

type Samples = Record<"exec" | "floor" | "first" | "send", number[]>;

function rowsOf(kind: HomeserverKind, backend: Backend, samples: Samples): Row[] {
  const where = `${kind}, ${backend === "none" ? "no sandbox" : backend}`;
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
      { what: `exec, ${where}, p50`, against: against(label, bound), unit: "ms", aim, must },
      samples.exec,
      bound,
    ),
    compared(
      { what: `exec, ${where}, p95`, against: against(label, bound, p95), unit: "ms", aim, must },
      samples.exec,
      bound,
      p95,
    ),
    compared(
      {
        what: `first byte of a running command, from its write until it is read, ${where}`,
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
