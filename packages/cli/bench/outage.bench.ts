import { setTimeout as pause } from "node:timers/promises";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { reported } from "../../../scripts/bench/stats.ts";
import type { HomeserverKind } from "../../../scripts/homeservers.ts";
import type { Machine } from "../test/support/machine.ts";
import { type Couple, couple } from "./couple.ts";

export const name = "outage";
export const description =
  "A homeserver that comes back after an outage: seconds from its first answer until both daemons say that they are healthy, and until a command runs";

/** How long it was away, in turns, milliseconds. */
const AWAY_MS = [2_000, 10_000, 30_000];
const LOOK_MS = 50;

export async function run(context: BenchContext): Promise<Row[]> {
  return [...(await on("embedded", context)), ...(await on("synapse", context))];
}

async function on(kind: HomeserverKind, { scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind });
  const healthy: number[] = [];
  const working: number[] = [];
  for (let i = 0; i < Math.max(1, Math.round(2 * scale)); i++) {
    for (const away of AWAY_MS) {
      await they.homeserver.kill("SIGKILL");
      await pause(away);
      await they.homeserver.restart();
      const start = performance.now();
      await Promise.all([they.laptop, they.builder].map((machine) => untilHealthy(machine, start)));
      healthy.push((performance.now() - start) / 1000);
      await untilItRuns(they);
      working.push((performance.now() - start) / 1000);
      say(`${kind}: away for ${away / 1000} s, healthy after ${healthy.at(-1)?.toFixed(1)} s`);
    }
  }
  return [
    reported({ what: `back after an outage until both are healthy, ${kind}`, unit: "s" }, healthy),
    reported({ what: `back after an outage until a command has run, ${kind}`, unit: "s" }, working),
  ];
}

/** A daemon that has not noticed yet says so too: what counts is a sync since the server is back. */
async function untilHealthy(machine: Machine, since: number): Promise<void> {
  const back = Date.now() - (performance.now() - since);
  for (;;) {
    const { sync } = await machine.ask<{ sync: { state: string; last_sync_at: string | null } }>([
      ...["daemon", "status"],
    ]);
    if (sync.state === "healthy" && Date.parse(sync.last_sync_at ?? "") >= back) return;
    await pause(LOOK_MS);
  }
}

async function untilItRuns({ exec }: Couple): Promise<void> {
  const { code, stderr } = await exec(["true"]);
  if (code !== 0) throw new Error(stderr);
}
