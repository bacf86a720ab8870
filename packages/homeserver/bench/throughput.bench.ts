import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { untilDecided } from "../../../scripts/bench/sampling.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import { bothSides, type Side } from "./side.ts";

export const name = "homeserver-throughput";
export const description =
  "Acknowledged (durable) events per second into one room by 8 senders, each waiting for its answer, in alternating rounds";

const senders = 8;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using sides = await bothSides();
  const [ours, synapse] = [await crowd(sides.ours), await crowd(sides.synapse)];
  const rounds = {
    atLeast: Math.max(3, Math.round(10 * scale)),
    atMost: Math.max(3, Math.round(40 * scale)),
  };
  const roundMs = Math.max(500, Math.round(3_000 * Math.min(1, scale * 2)));
  await ours(roundMs / 2);
  await synapse(roundMs / 2);
  const [own, theirs]: [number[], number[]] = [[], []];
  return await untilDecided({ ...rounds, checkEvery: 5 }, async (i) => {
    own.push(await ours(roundMs));
    theirs.push(await synapse(roundMs));
    say(`round ${i + 1}: ${own.at(-1)?.toFixed(0)} and ${theirs.at(-1)?.toFixed(0)} events/s`);
    return () => {
      const against = `Synapse, ${median(theirs).toFixed(0)} events/s`;
      const row = { what: "durable events, 8 senders", against, unit: "/s", aim: "at least 3 times" };
      return [compared({ ...row, must: { atLeast: 3 } }, own, theirs)];
    };
  });
}

/** A room full of senders; answers a function that sends for so long and gives the events per second. */
async function crowd(side: Side): Promise<(ms: number) => Promise<number>> {
  const users = await Promise.all(Array.from({ length: senders }, (_, i) => side.user(`sender${i}`)));
  const [first, ...others] = users;
  if (!first) throw new Error("no senders");
  const room = await first.room("public_chat", ...others);
  return async (ms) => {
    const start = performance.now();
    let count = 0;
    await Promise.all(
      users.map(async (user) => {
        while (performance.now() - start < ms) {
          await user.send(room, `event ${count}`);
          count++;
        }
      }),
    );
    return count / ((performance.now() - start) / 1000);
  };
}
