import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { eventually, type MachineOptions, machine, newUser, type TestMachine } from "./helpers.ts";

const REQUEST = "com.mxagent.exec.request.v1";
const PLAIN = {
  name: "lab",
  alias: null,
  encrypted: false,
  initial_state: [],
  power_level_content_override: {},
};

let server: TestHomeserver;
const machines: TestMachine[] = [];

beforeAll(async () => {
  server = await startHomeserverForTests();
});
afterEach(async () => {
  await Promise.all(machines.splice(0).map((one) => one.close()));
});
afterAll(() => server?.close());

async function newMachine(options: Partial<MachineOptions> = {}): Promise<TestMachine> {
  const user = await newUser(server);
  const one = await machine({ url: server.url, ...user, ...options });
  machines.push(one);
  return one;
}

/** Two accounts in one room without encryption. */
async function twoInARoom(): Promise<{ laptop: TestMachine; builder: TestMachine; room_id: string }> {
  const [laptop, builder] = await Promise.all([newMachine(), newMachine()]);
  await Promise.all([laptop.session.ready(), builder.session.ready()]);
  const invite = [builder.credentials.user_id];
  const room_id = await laptop.session.createRoom({ ...PLAIN, invite });
  await eventually(() => builder.session.rooms.get(room_id)?.membership === "invite");
  await builder.session.join(room_id, []);
  return { laptop, builder, room_id };
}

test("what one machine sends into a room, the other receives as it was sent, once", async () => {
  const { laptop, builder, room_id } = await twoInARoom();
  const sent = Promise.withResolvers<unknown>();
  laptop.session.outbox.enqueue(
    { kind: "event", room_id, type: REQUEST, content: { n: 1, nested: { a: [1, "ü"] } } },
    { onSent: sent.resolve },
  );
  const event = await builder.event((one) => one.type === REQUEST);
  expect(await sent.promise).toEqual({ ok: true, event_id: event.event_id });
  expect(event).toMatchObject({
    kind: "timeline",
    room_id,
    sender: laptop.credentials.user_id,
    content: { n: 1, nested: { a: [1, "ü"] } },
    backfilled: false,
    transport: { encrypted: false },
  });
  const own = await laptop.event((one) => one.event_id === event.event_id);
  expect(own.sender).toBe(laptop.session.account.user_id);
  expect(laptop.session.outbox.depth()).toBe(0);
  expect(builder.events.filter((one) => one.event_id === event.event_id)).toHaveLength(1);
  expect(builder.session.health()).toMatchObject({ state: "healthy" });
});
