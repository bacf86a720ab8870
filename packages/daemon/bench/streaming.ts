/** Bytes through a command on the other machine, and through nothing but to-device messages. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { inTurns } from "../../../scripts/bench/sampling.ts";
import { compared, judged, median } from "../../../scripts/bench/stats.ts";
import type { HomeserverKind } from "../../../scripts/homeservers.ts";
import {
  type Couple,
  couple,
  pidsOf,
  type Usage,
  usageOf,
  WarmClient,
  widePolicy,
} from "../../cli/bench/couple.ts";
import { timed, type User, userOf } from "../../homeserver/bench/side.ts";

/** As many as one of our chunks carries. */
const CHUNK = 24 * 1024;
/** What a daemon's memory may grow by while any amount goes through it. */
const GROWTH_MB = 64;

/** 25 pieces of output, against a bare PUT loop of the same chunks, and what the daemons' memory grew by. */
export async function outputAgainstLoop(
  kind: HomeserverKind,
  piece: number,
  { scale, say }: BenchContext,
): Promise<Row[]> {
  await using they = await couple({ kind, policy: widePolicy });
  using client = await WarmClient.of(they);
  const bare = await BareLoop.on(they);
  makePiece(they, piece);
  const before = await usageOfBoth(they);
  const n = Math.max(3, Math.round(25 * scale));
  const { ours, theirs } = await inTurns(
    { ours: () => outputRate(client, piece), theirs: () => bare.rate(piece) },
    { n, warm: 0, every: 1, say },
  );
  const what = `${((n * piece) / 1e6).toFixed(0)} MB of output, ${kind}`;
  const against = `bare to-device PUT loop, ${median(theirs).toFixed(2)} MB/s`;
  return [
    compared({ what, against, unit: "MB/s", aim: "at least 0.6", must: { atLeast: 0.6 } }, ours, theirs),
    ...(await grownRows(what, they, before)),
  ];
}

/** A command that prints so many bytes, read to its end; its digest has to match. Megabytes a second. */
export async function outputRate(client: WarmClient, bytes: number): Promise<number> {
  const { ms, bytes: read } = await client.exec(["cat", `piece-${bytes}`]);
  if (read !== bytes) throw new Error(`${read} of ${bytes} bytes`);
  return bytes / ms / 1000;
}

/** Bytes that don't compress, for `outputRate`. */
export function makePiece({ project }: Couple, bytes: number): void {
  writeFileSync(join(project, `piece-${bytes}`), randomBytes(bytes));
}

/** So many bytes into a command that counts them. Megabytes a second. */
export async function inputRate(client: WarmClient, bytes: number): Promise<number> {
  const block = randomBytes(64 * 1024);
  async function* input() {
    for (let sent = 0; sent < bytes; sent += block.length) yield block.subarray(0, bytes - sent);
  }
  const { ms } = await client.exec(["wc", "-c"], input());
  return bytes / ms / 1000;
}

/** Two users with nothing of ours between them. */
export class BareLoop {
  readonly #sender: User;
  readonly #receiver: User;

  private constructor(sender: User, receiver: User) {
    this.#sender = sender;
    this.#receiver = receiver;
  }

  static async on({ homeserver }: Couple): Promise<BareLoop> {
    const [sender, receiver] = [await userOf(homeserver, "sender"), await userOf(homeserver, "receiver")];
    await receiver.catchUp();
    return new BareLoop(sender, receiver);
  }

  /** The same bytes in as many to-device messages, one after another, until the other side has them all. */
  async rate(bytes: number): Promise<number> {
    const chunks = Math.ceil(bytes / CHUNK);
    const data = randomBytes(CHUNK).toString("base64");
    const send = async () => {
      for (let seq = 0; seq < chunks; seq++) await this.#sender.sendToDevice(this.#receiver, { seq, data });
    };
    const receive = async () => {
      for (let got = 0; got < chunks; ) {
        const { to_device } = await this.#receiver.sync(10_000);
        const events: unknown = Reflect.get(Object(to_device), "events");
        got += Array.isArray(events) ? events.length : 0;
      }
    };
    return bytes / (await timed(() => Promise.all([send(), receive()]))) / 1000;
  }
}

/** What the two daemons take now, for `grownRows` later. */
export async function usageOfBoth(they: Couple): Promise<Record<"laptop" | "builder", Usage>> {
  return {
    laptop: usageOf((await pidsOf(they.laptop)).daemon),
    builder: usageOf((await pidsOf(they.builder)).daemon),
  };
}

/** How much resident memory each daemon has now over what it had `before`. */
export async function grownRows(
  what: string,
  they: Couple,
  before: Record<"laptop" | "builder", Usage>,
): Promise<Row[]> {
  const now = await usageOfBoth(they);
  return (["laptop", "builder"] as const).map((who) => {
    const grown = now[who].rss_mb - before[who].rss_mb;
    const row = {
      what: `${what}: memory of the ${who === "laptop" ? "asking" : "executing"} daemon`,
      against: `before, ${before[who].rss_mb.toFixed(0)} MB`,
      ...{ unit: "MB more", aim: `at most + ${GROWTH_MB} MB` },
    };
    return judged(row, grown, { met: grown <= GROWTH_MB });
  });
}
