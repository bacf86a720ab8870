import { expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { MAX_PAGES } from "../../src/matrix/backfill.ts";
import { startFaultProxy } from "../support/fault-proxy.ts";
import { REQUEST, request, shareRoom, type TestMachine } from "./helpers.ts";
import { ownSite } from "./own-site.ts";

const { server, site } = ownSite();

const numbers = (machine: TestMachine) =>
  machine.events.filter((one) => one.type === REQUEST).map(({ content }) => Object(content).n);
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

async function sendMany(from: TestMachine, room_id: string, count: number, first = 0): Promise<void> {
  for (let n = first; n < first + count; n++) from.session.outbox.enqueue(request(room_id, { n }));
  await from.session.outbox.drained();
}

test("what was sent while a machine was away comes whole: what /sync leaves out is fetched", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom();
  await builder.stop();
  await sendMany(laptop, room_id, 250);
  await builder.restart();
  await eventually(() => numbers(builder).length >= 250);
  expect(numbers(builder).sort((a, b) => a - b)).toEqual(upTo(250));
  const backfilled = builder.events.filter((one) => one.backfilled);
  expect(backfilled.length).toBe(150);
  expect(backfilled.map(({ content }) => Object(content).n)).toEqual(upTo(150));
  expect(builder.session.health().notes).toEqual([]);
});

test("a gap that could not be filled before a restart is filled after it", async () => {
  const proxy = await startFaultProxy(server.url);
  try {
    const { laptop, builder, room_id } = await site.twoInARoom({}, { url: proxy.url });
    await builder.stop();
    await sendMany(laptop, room_id, 130);
    const stop = proxy.on(({ path }) => (path.includes("/messages") ? { kind: "drop" } : undefined));
    await builder.restart();
    await eventually(() => numbers(builder).length >= 100);
    await eventually(() => proxy.requests.some(({ path }) => path.includes("/messages")));
    expect(numbers(builder)).toHaveLength(100);
    await builder.stop();
    stop();
    await builder.restart();
    await eventually(() => numbers(builder).length >= 130);
    expect(numbers(builder).sort((a, b) => a - b)).toEqual(upTo(130));
  } finally {
    await proxy.close();
  }
});

test("a room whose messages cannot be fetched holds up no other room", async () => {
  const proxy = await startFaultProxy(server.url);
  try {
    const { laptop, builder, room_id } = await site.twoInARoom({}, { url: proxy.url });
    const other = await shareRoom(laptop, builder);
    await builder.stop();
    for (const room of [room_id, other]) await sendMany(laptop, room, 120);
    const stop = proxy.on(({ path }) =>
      path.includes(`/rooms/${encodeURIComponent(room_id)}/messages`) ? { kind: "drop" } : undefined,
    );
    await builder.restart();
    const of = (room: string) => builder.events.filter((one) => one.type === REQUEST && one.room_id === room);
    await eventually(() => of(other).length >= 120);
    expect(of(room_id)).toHaveLength(100);
    stop();
    await eventually(() => of(room_id).length >= 120);
  } finally {
    await proxy.close();
  }
});

test("a gap without an end is given up after some pages, and the health says so", async () => {
  const proxy = await startFaultProxy(server.url);
  try {
    const { laptop, builder, room_id } = await site.twoInARoom({}, { url: proxy.url });
    await builder.stop();
    await sendMany(laptop, room_id, 110);
    let pages = 0;
    proxy.on(({ path }) => {
      if (!path.includes("/messages")) return undefined;
      return {
        kind: "rewrite",
        change: (answer) => ({
          ...answer,
          status: 200,
          body: JSON.stringify({ ...JSON.parse(answer.body), chunk: [{}], end: `t${pages++}` }),
        }),
      };
    });
    await builder.restart();
    await eventually(() => builder.session.health().notes.length > 0);
    expect(builder.session.health().notes[0]).toContain(room_id);
    expect(pages).toBe(MAX_PAGES);
    await sendMany(laptop, room_id, 1, 110);
    await eventually(() => numbers(builder).includes(110));
  } finally {
    await proxy.close();
  }
});
