import { setTimeout as pause } from "node:timers/promises";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { judged } from "../../../scripts/bench/stats.ts";
import { userOf } from "../../homeserver/bench/side.ts";
import { couple, pidsOf, usageOf } from "./couple.ts";

export const name = "history";
export const description =
  "Memory of a daemon after 50,000 events in a room against 1,000, on the embedded homeserver; it was there for each of them";

const FEW = 1_000;
const MANY = 50_000;
const SENDERS = 8;
const SETTLE_MS = 5_000;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  await using they = await couple({ kind: "embedded" });
  const { daemon } = await pidsOf(they.builder);
  const sender = await userOf(they.homeserver, "sender");
  await they.laptop.ask(["workspace", "invite", sender.id, "--room", they.room]);
  await sender.call("POST", `/join/${encodeURIComponent(they.room)}`, {});
  let sent = 0;
  const sendUpTo = async (total: number) => {
    const one = async () => {
      while (sent < total) {
        sent++;
        await sender.send(they.room, `${sent} ${"x".repeat(500)}`);
        if (sent % 5_000 === 0) say(`${sent} events`);
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, one));
    // What came last is worked on by then.
    await pause(SETTLE_MS);
    return usageOf(daemon).rss_mb;
  };
  const few = await sendUpTo(FEW);
  const many = await sendUpTo(Math.max(2 * FEW, Math.round(MANY * scale)));
  const ratio = many / few;
  const what = `memory of a daemon after ${sent} room events`;
  const against = `after ${FEW}, ${few.toFixed(0)} MB`;
  return [judged({ what, against, unit: "MB", aim: "within 20 %" }, many, { met: ratio <= 1.2, ratio })];
}
