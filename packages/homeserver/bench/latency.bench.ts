import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { untilDecided } from "../../../scripts/bench/sampling.ts";
import { compared, quantile } from "../../../scripts/bench/stats.ts";
import { bothSides, type Side, timed } from "./side.ts";

export const name = "homeserver-latency";
export const description =
  "From sending to the end of the other client's waiting /sync, one message at a time, the servers in turns, until " +
  "each aim is decided (at most 4,000 rounds)";

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using sides = await bothSides();
  const [ours, synapse] = [await conversation(sides.ours), await conversation(sides.synapse)];
  const samples: Samples = { oursEvent: [], synapseEvent: [], oursDevice: [], synapseDevice: [] };
  // The first rounds warm both up.
  for (let i = -20; i < 0; i++) await round(ours, synapse, i);
  return await untilDecided(
    { atLeast: Math.max(20, 500 * scale), atMost: Math.max(20, 4_000 * scale) },
    async (i) => {
      const took = await round(ours, synapse, i);
      for (const key of keys) samples[key].push(took[key]);
      if (i > 0 && i % 250 === 0) say(`${i} rounds`);
      return () => rowsOf(samples);
    },
  );
}

const keys = ["oursEvent", "synapseEvent", "oursDevice", "synapseDevice"] as const;
type Samples = Record<(typeof keys)[number], number[]>;
type Conversation = Awaited<ReturnType<typeof conversation>>;

async function round(ours: Conversation, synapse: Conversation, i: number) {
  return {
    oursEvent: await ours.event(i),
    synapseEvent: await synapse.event(i),
    oursDevice: await ours.toDevice(i),
    synapseDevice: await synapse.toDevice(i),
  };
}

function rowsOf({ oursEvent, synapseEvent, oursDevice, synapseDevice }: Samples): Row[] {
  const against = (list: readonly number[], q: number) => `Synapse, ${quantile(list, q).toFixed(1)} ms`;
  const fifth = { unit: "ms", aim: "at most 1/5", must: { atMost: 0.2 } };
  const p95 = (list: readonly number[]) => quantile(list, 0.95);
  return [
    compared(
      { what: "send to sync, p50", against: against(synapseEvent, 0.5), ...fifth },
      oursEvent,
      synapseEvent,
    ),
    compared(
      { what: "send to sync, p95", against: against(synapseEvent, 0.95), ...fifth },
      oursEvent,
      synapseEvent,
      p95,
    ),
    compared(
      {
        what: "to-device, p50",
        against: against(synapseDevice, 0.5),
        unit: "ms",
        aim: "at most 1/3",
        must: { atMost: 1 / 3 },
      },
      oursDevice,
      synapseDevice,
    ),
  ];
}

async function conversation(side: Side) {
  const [alice, bob] = [await side.user("alice"), await side.user("bob")];
  const room = await alice.room("public_chat", bob);
  await bob.catchUp();
  /** The other client waits already when the clock starts, as it does in life. */
  const heard = async (needle: string, send: () => Promise<unknown>) => {
    const waiting = bob.hear(needle);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const sent = Promise.withResolvers<unknown>();
    const elapsed = await timed(async () => {
      send().then(sent.resolve, sent.reject);
      await waiting;
    });
    await sent.promise;
    return elapsed;
  };
  return {
    event: (i: number) => heard(`number ${i}.`, () => alice.send(room, `number ${i}.`)),
    toDevice: (i: number) => heard(`device ${i}.`, () => alice.sendToDevice(bob, { text: `device ${i}.` })),
  };
}
