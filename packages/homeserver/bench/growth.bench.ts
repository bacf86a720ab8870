import { readFileSync } from "node:fs";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median, quantile } from "../../../scripts/bench/stats.ts";
import { type Side, sideOf, timed, type User } from "./side.ts";

export const name = "homeserver-growth";
export const description =
  "Incremental sync (one new event) with more and more history, in 10 and in 200 rooms, and the memory that it takes; " +
  "Synapse beside it with 1,000 events only, which it takes long enough to write";

/** Flat: not more than a quarter over the smallest size, measured in the same run. */
const flat = { aim: "flat: at most 1.25", must: { atMost: 1.25 } };

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  const rows: Row[] = [];
  const n = Math.max(20, Math.round(200 * scale));
  const sizes = [1_000, 10_000, 100_000].map((size) => Math.max(100, Math.round(size * scale)));
  for (const rooms of [10, 200]) {
    const ours = await sideOf("embedded");
    const synapse = rooms === 10 ? await sideOf("synapse") : undefined;
    try {
      const idle = memory(ours);
      if (rooms === 10) rows.push(reported("memory idle", idle, "MiB"));
      if (synapse) rows.push(reported("memory idle, Synapse", memory(synapse), "MiB"));
      const own = await Household.of(ours, rooms);
      const theirs = synapse && (await Household.of(synapse, rooms));
      let smallest: number[] = [];
      for (const [i, size] of sizes.entries()) {
        await own.fill(size);
        if (i === 0) await theirs?.fill(size);
        const samples: number[] = [];
        const beside: number[] = [];
        for (let k = -5; k < n; k++) {
          const sample = await own.incremental(k);
          const other = i === 0 && theirs ? await theirs.incremental(k) : undefined;
          if (k < 0) continue;
          samples.push(sample);
          if (other !== undefined) beside.push(other);
        }
        say(`${rooms} rooms, ${size} events: ${median(samples).toFixed(2)} ms`);
        if (i === 0) smallest = samples;
        const what = `incremental sync, ${rooms} rooms, ${size} events`;
        if (beside.length > 0)
          rows.push(
            compared(
              { what, against: `Synapse, ${median(beside).toFixed(1)} ms`, unit: "ms", aim: "" },
              samples,
              beside,
            ),
          );
        if (i > 0)
          rows.push(
            compared({ what, against: `${sizes[0]} events`, unit: "ms", ...flat }, samples, smallest),
          );
        else if (beside.length === 0)
          rows.push({ ...reported(what, median(samples), "ms"), n, p95: quantile(samples, 0.95) });
      }
      if (rooms === 10) rows.push(reported(`memory after ${sizes.at(-1)} events`, memory(ours), "MiB"));
    } finally {
      await ours.homeserver.close();
      await synapse?.homeserver.close();
    }
  }
  return rows;
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
    await writer?.send(this.#room(i + 5), `new ${i}`);
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
