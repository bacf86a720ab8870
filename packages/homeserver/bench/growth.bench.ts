import { readFileSync } from "node:fs";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { type Side, sideOf, timed, type User } from "./side.ts";

export const name = "homeserver-growth";
export const description =
  "Incremental sync (one new event) with more and more history, in 10 and in 200 rooms, and the memory that it takes; " +
  "Synapse beside it with 1,000 events only, which it takes long enough to write";

/** Flat: not more than a quarter over the smallest size, measured in turns with it. */
const flat = { aim: "flat: at most 1.25", must: { atMost: 1.25 } };

export async function run(context: BenchContext): Promise<Row[]> {
  return [...(await grow(10, context)), ...(await grow(200, context))];
}

/** One server for each size of history, all filled first, then asked in turns. */
async function grow(rooms: number, { scale, say }: BenchContext): Promise<Row[]> {
  const rows: Row[] = [];
  const n = Math.max(50, Math.round(200 * scale));
  const sizes = [1_000, 10_000, 100_000].map((size) => Math.max(100, Math.round(size * scale)));
  const withSynapse = rooms === 10;
  const sides: Side[] = [];
  try {
    const households: { label: string; size: number; side: Side; household: Household; samples: number[] }[] =
      [];
    const add = async (kind: "embedded" | "synapse", size: number) => {
      const side = await sideOf(kind);
      sides.push(side);
      const label = kind === "synapse" ? "Synapse" : `${size} events`;
      if (withSynapse && size === sizes[0])
        rows.push(reported(`memory idle${kind === "synapse" ? ", Synapse" : ""}`, memory(side), "MiB"));
      const household = await Household.of(side, rooms);
      const took = await timed(() => household.fill(size));
      say(`${rooms} rooms, ${label}: filled in ${(took / 1000).toFixed(1)} s`);
      households.push({ label, size, side, household, samples: [] });
    };
    for (const size of sizes) await add("embedded", size);
    if (withSynapse) await add("synapse", sizes[0] ?? 0);

    for (let i = -10; i < n; i++) {
      for (const { household, samples } of households) {
        const took = await household.incremental(i);
        if (i >= 0) samples.push(took);
      }
    }
    const [smallest, ...others] = households;
    if (!smallest) return rows;
    for (const { label, size, side, samples } of others) {
      const isSynapse = side.homeserver.kind === "synapse";
      const [ours, theirs] = isSynapse ? [smallest.samples, samples] : [samples, smallest.samples];
      const what = `incremental sync, ${rooms} rooms, ${isSynapse ? smallest.size : size} events`;
      const against = `${isSynapse ? label : smallest.label}, ${median(theirs).toFixed(2)} ms`;
      rows.push(compared({ what, against, unit: "ms", ...(isSynapse ? { aim: "" } : flat) }, ours, theirs));
      if (withSynapse)
        rows.push(
          reported(`memory after ${size} events${isSynapse ? ", Synapse" : ""}`, memory(side), "MiB"),
        );
    }
    return rows;
  } finally {
    for (const side of sides) await side.homeserver.close();
  }
}

/** Two people in so many rooms; one writes, the other follows. */
class Household {
  readonly #writers: User[];
  readonly #reader: User;
  readonly #rooms: string[];
  #written = 0;

  private constructor(writers: User[], reader: User, rooms: string[]) {
    this.#writers = writers;
    this.#reader = reader;
    this.#rooms = rooms;
  }

  static async of(side: Side, rooms: number): Promise<Household> {
    const writers = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((i) => side.user(`writer${i}`)));
    const reader = await side.user("reader");
    const [first, ...others] = writers;
    if (!first) throw new Error("no writers");
    const ids: string[] = [];
    for (let i = 0; i < rooms; i++) ids.push(await first.room("public_chat", ...others, reader));
    return new Household(writers, reader, ids);
  }

  /** Writes until there are `size` messages in all, then lets the reader catch up. */
  async fill(size: number): Promise<void> {
    await Promise.all(
      this.#writers.map(async (writer) => {
        while (this.#written < size) {
          const i = this.#written++;
          await writer.send(this.#room(i), `message ${i}`);
        }
      }),
    );
    await this.#reader.catchUp();
  }

  /** The time of a sync that brings one new event. */
  async incremental(i: number): Promise<number> {
    const [writer] = this.#writers;
    await writer?.send(this.#room(i + 10), `new ${i}`);
    return timed(() => this.#reader.sync(0));
  }

  #room(i: number): string {
    return this.#rooms[i % this.#rooms.length] ?? "";
  }
}

/** Resident memory of the server's process, in MiB. Linux only; elsewhere NaN. */
function memory({ homeserver }: Side): number {
  try {
    const status = readFileSync(`/proc/${homeserver.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}

function reported(what: string, value: number, unit: string): Row {
  return {
    what,
    against: "",
    n: 1,
    median: value,
    p95: undefined,
    unit,
    ratio: undefined,
    interval: undefined,
    aim: "",
    verdict: "reported",
  };
}
