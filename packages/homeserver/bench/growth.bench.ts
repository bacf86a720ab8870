import { readFileSync } from "node:fs";
import type { Aim, BenchContext, Row } from "../../../scripts/bench/row.ts";
import { untilDecided } from "../../../scripts/bench/sampling.ts";
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
  const sizes = [1_000, 10_000, 100_000].map((size) => Math.max(100, Math.round(size * scale)));
  const withSynapse = rooms === 10;
  const sides: Side[] = [];
  try {
    const households: Filled[] = [];
    const add = async (kind: "embedded" | "synapse", size: number) => {
      const side = await sideOf(kind);
      sides.push(side);
      const label = kind === "synapse" ? "Synapse" : `${size} events`;
      const idle = memory(side);
      const household = await Household.of(side, rooms);
      const took = await timed(() => household.fill(size));
      say(`${rooms} rooms, ${label}: filled in ${(took / 1000).toFixed(1)} s`);
      households.push({ label, size, side, household, idle, samples: [], memory: [] });
    };
    for (const size of sizes) await add("embedded", size);
    if (withSynapse) await add("synapse", sizes[0] ?? 0);

    for (let i = -20; i < 0; i++) for (const { household } of households) await household.incremental(i);
    return await untilDecided(
      { atLeast: Math.max(50, 200 * scale), atMost: Math.max(50, 2_000 * scale) },
      async (i) => {
        for (const filled of households) {
          filled.samples.push(await filled.household.incremental(i));
          filled.memory.push(memory(filled.side));
        }
        return () => [...syncRows(rooms, households), ...(withSynapse ? memoryRows(households) : [])];
      },
    );
  } finally {
    for (const side of sides) await side.homeserver.close();
  }
}

/** A server with its history, and what was measured of it. */
interface Filled {
  readonly label: string;
  readonly size: number;
  readonly side: Side;
  readonly household: Household;
  /** Resident memory before anything was done; MiB. */
  readonly idle: number;
  readonly samples: number[];
  readonly memory: number[];
}

const isSynapse = ({ side }: Filled) => side.homeserver.kind === "synapse";

function syncRows(rooms: number, households: readonly Filled[]): Row[] {
  const [smallest, ...others] = households;
  if (!smallest) return [];
  return others.map((other) => {
    const [ours, theirs] = isSynapse(other) ? [smallest, other] : [other, smallest];
    const what = `incremental sync, ${rooms} rooms, ${ours.size} events`;
    const against = `${theirs.label}, ${median(theirs.samples).toFixed(2)} ms`;
    const aim = isSynapse(other) ? { aim: "" } : flat;
    return compared({ what, against, unit: "ms", ...aim }, ours.samples, theirs.samples);
  });
}

/** Memory with the longest history against that with the shortest, after the same requests; and idle ones. */
function memoryRows(households: readonly Filled[]): Row[] {
  const own = households.filter((filled) => !isSynapse(filled));
  const [smallest, largest, synapse] = [own[0], own.at(-1), households.find(isSynapse)];
  if (!smallest || !largest) return [];
  const row = (what: string, against: string, aim: { aim: string; must?: Aim }) => ({
    what,
    against,
    unit: "MiB",
    ...aim,
  });
  const mib = (list: readonly number[]) => `${median(list).toFixed(0)} MiB`;
  const after = `memory after ${largest.size} events`;
  const idle = own.map((filled) => filled.idle);
  return [
    compared(
      row(after, `after ${smallest.size} events, ${mib(smallest.memory)}`, flat),
      largest.memory,
      smallest.memory,
    ),
    compared(row(after, `idle, ${mib(idle)}`, { aim: "" }), largest.memory, idle),
    ...(synapse
      ? [
          compared(row("memory idle", `Synapse, ${mib([synapse.idle])}`, { aim: "" }), idle, [synapse.idle]),
          compared(
            row(`memory after ${smallest.size} events`, `Synapse, ${mib(synapse.memory)}`, { aim: "" }),
            smallest.memory,
            synapse.memory,
          ),
        ]
      : []),
  ];
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
    await writer?.send(this.#room(i + 20), `new ${i}`);
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
