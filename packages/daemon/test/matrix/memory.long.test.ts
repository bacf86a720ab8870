import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { startFaultProxy } from "../support/fault-proxy.ts";
import { plainRoom, REQUEST, siteOn } from "./helpers.ts";

const scale = Number(process.env.MX_TEST_SCALE ?? "1");
const PER_SYNC = 500;
let server: TestHomeserver;
beforeAll(async () => {
  server = await startHomeserverForTests();
});
afterAll(() => server?.close());

/** Bytes in use after the garbage is gone, as well as that can be told. */
async function heap(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  for (let n = 0; n < 5; n++) {
    if (typeof collect === "function") collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}

test("50,000 events in a room leave the memory as it was", async () => {
  const total = Math.ceil((50_000 * scale) / PER_SYNC) * PER_SYNC;
  const site = siteOn(server);
  const proxy = await startFaultProxy(server.url);
  let seen = 0;
  const machine = await site.machine({
    url: proxy.url,
    onEvent: async () => {
      seen++;
    },
  });
  try {
    const room_id = await machine.session.createRoom(plainRoom);
    let made = 0;
    let wanted = 0;
    const event = () => ({
      type: made % 2 ? REQUEST : "m.room.message",
      sender: machine.credentials.user_id,
      event_id: `$flood${++made}:${room_id}`,
      origin_server_ts: made,
      content: { body: "x".repeat(500), msgtype: "m.text", made },
    });
    proxy.on(({ path }) => {
      if (!path.includes("/sync") || made >= wanted) return undefined;
      const events = Array.from({ length: PER_SYNC }, event);
      const next_batch = new URL(path, "http://x").searchParams.get("since");
      const body = JSON.stringify({
        next_batch,
        rooms: { join: { [room_id]: { timeline: { events, prev_batch: "p" } } } },
      });
      return { kind: "answer", status: 200, body };
    });
    const flood = async (count: number) => {
      wanted += count;
      await site.api(machine, "PUT", `/user/${machine.credentials.user_id}/account_data/test`, { wanted });
      await eventually(() => seen >= wanted / 2, "all events seen", 600_000);
    };
    // What is made once, code that gets optimised included, is made before the first look.
    await flood(PER_SYNC * 2);
    const before = await heap();
    await flood(total);
    const grown = (await heap()) - before;
    console.info(`${total} events, ${Math.round(grown / 1024)} KiB more`);
    // Their contents alone would be 500 bytes each.
    expect(grown).toBeLessThan(Math.max(8 * 1024 * 1024, total * 100));
  } finally {
    await site.closeMachines();
    await proxy.close();
  }
});
