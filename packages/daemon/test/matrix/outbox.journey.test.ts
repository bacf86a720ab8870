import { expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { garbage, tooManyRequests } from "../support/fault-proxy.ts";
import { CHUNK, newUser, REQUEST, request, send, type TestMachine } from "./helpers.ts";
import { ownSite } from "./own-site.ts";

const { server, site, proxy } = ownSite();

/** A room of two, of whom `sender` reaches the homeserver through the proxy. */
async function room(): Promise<{ receiver: TestMachine; sender: TestMachine; room_id: string }> {
  const { laptop, builder, room_id } = await site.twoInARoom({}, { url: proxy.url });
  return { receiver: laptop, sender: builder, room_id };
}

const contents = (machine: TestMachine) =>
  machine.events.filter((one) => one.type === REQUEST).map((one) => Object(one.content).n);

test.each([
  ["the answer is lost", { kind: "drop_answer" }],
  ["the connection breaks", { kind: "drop" }],
  ["a captive portal answers", garbage],
  ["the server stumbles", { kind: "answer", status: 502, body: "<h1>Bad Gateway</h1>" }],
  ["a proxy says not found", { kind: "answer", status: 404, body: "<h1>404</h1>" }],
] as const)(
  "a message is sent until it is confirmed, arrives once, and keeps its place: %s",
  async (_, fault) => {
    const { receiver, sender, room_id } = await room();
    const faults = proxy.next("/send/", fault, 2);
    for (let n = 0; n < 3; n++) sender.session.outbox.enqueue(request(room_id, { n }));
    expect(sender.session.outbox.depth()).toBe(3);
    await sender.session.outbox.drained();
    await faults;
    await eventually(() => contents(receiver).length >= 3);
    expect(contents(receiver)).toEqual([0, 1, 2]);
    expect(sender.session.outbox.depth()).toBe(0);
  },
);

test("what was not sent before a restart is sent after it, in order and once", async () => {
  const { receiver, sender, room_id } = await room();
  const stop = proxy.on(({ path }) => (path.includes("/send/") ? { kind: "drop_answer" } : undefined));
  for (let n = 0; n < 3; n++) sender.session.outbox.enqueue(request(room_id, { n }));
  await receiver.event((one) => one.type === REQUEST);
  await sender.restart();
  expect(sender.session.outbox.depth()).toBe(3);
  stop();
  await eventually(() => sender.session.outbox.depth() === 0);
  await eventually(() => contents(receiver).length >= 3);
  expect(contents(receiver)).toEqual([0, 1, 2]);
});

test("a message that the server refuses for good is told and dropped, and the next one goes", async () => {
  const { receiver, sender, room_id } = await room();
  const refused = send(sender, request(room_id, { big: "x".repeat(70_000) }));
  const next = send(sender, request(room_id, { n: 1 }));
  expect(await refused).toMatchObject({
    ok: false,
    error: { code: "MX_HOMESERVER_ERROR", details: { errcode: "M_TOO_LARGE" } },
  });
  expect(await next).toMatchObject({ ok: true });
  await eventually(() => contents(receiver).includes(1));

  const forbidden = await send(sender, {
    kind: "state",
    room_id,
    type: "m.room.name",
    state_key: "",
    content: { name: "x" },
  });
  expect(forbidden).toMatchObject({ ok: false, error: { details: { errcode: "M_FORBIDDEN" } } });
  expect(sender.session.outbox.depth()).toBe(0);
  expect(sender.log.some(({ level, message }) => level === "error" && message.includes("refused"))).toBe(
    true,
  );
});

test("what a device's full queue refuses comes when there is room, in its place; other devices do not wait", async () => {
  const { receiver, sender, room_id } = await room();
  const other = await site.machine();
  await other.session.ready();
  const to = ({ credentials: { user_id, device_id } }: TestMachine, n: number) =>
    ({ kind: "to_device", room_id, user_id, device_id, type: CHUNK, content: { n } }) as const;
  let full = true;
  const stop = proxy.on(({ path, body }) =>
    full && path.includes("/sendToDevice/") && body.includes(receiver.credentials.device_id)
      ? tooManyRequests(300)
      : undefined,
  );
  const outcomes = [1, 2, 3].map((n) => send(sender, to(receiver, n)));
  expect(await send(sender, to(other, 4))).toMatchObject({ ok: true });
  await other.event((one) => one.type === CHUNK);
  expect(sender.session.outbox.depth()).toBe(3);
  expect(sender.session.health().state).toBe("healthy");
  await sender.restart();
  full = false;
  await eventually(() => sender.session.outbox.depth() === 0);
  const came = () =>
    receiver.events.flatMap(({ type, content }) => (type === CHUNK ? [Object(content).n] : []));
  await eventually(() => came().length === 3);
  expect(came()).toEqual([1, 2, 3]);
  expect(await Promise.race([...outcomes, "not told"])).toBe("not told");
  stop();
});

test("nothing is sent before the first sync is done", async () => {
  const { receiver, sender, room_id } = await room();
  await sender.stop();
  const stop = proxy.on(({ path }) => (path.includes("/sync") ? { kind: "hang" } : undefined));
  const from = proxy.requests.length;
  await sender.restart();
  sender.session.outbox.enqueue(request(room_id, { n: 1 }));
  await eventually(() => proxy.requests.slice(from).some(({ path }) => path.includes("/sync")));
  await send(receiver, request(room_id, { n: 2 }));
  expect(proxy.requests.slice(from).filter(({ path }) => path.includes("/send/"))).toEqual([]);
  expect(sender.session.health().state).toBe("degraded");
  stop();
  await sender.restart();
  await eventually(() => contents(receiver).includes(1));
});

test("messages of one transaction that is rolled back are not sent", async () => {
  const { receiver, sender, room_id } = await room();
  expect(() =>
    sender.db.transaction(() => {
      sender.session.outbox.enqueue(request(room_id, { n: 1 }));
      throw new Error("no");
    }),
  ).toThrow("no");
  await send(sender, request(room_id, { n: 2 }));
  await eventually(() => contents(receiver).includes(2));
  expect(contents(receiver)).toEqual([2]);
  expect(sender.session.outbox.depth()).toBe(0);
});

test("a newer agent state replaces one that is not sent yet", async () => {
  const { sender, room_id } = await room();
  const state = (rev: number) => ({ kind: "event", room_id, type: REQUEST, content: { rev } }) as const;
  const stop = proxy.on(({ path }) => (path.includes("/send/") ? { kind: "drop" } : undefined));
  sender.session.outbox.enqueue(request(room_id, { n: 0 }));
  const outcomes = [1, 2, 3].map((rev) => send(sender, state(rev), { replace_key: "agent" }));
  expect(sender.session.outbox.depth()).toBe(2);
  stop();
  const sent = await Promise.all(outcomes);
  expect(new Set(sent.map((one) => one.ok && one.event_id)).size).toBe(1);
  await sender.event((one) => Object(one.content).rev !== undefined);
  expect(sender.events.map((one) => Object(one.content).rev).filter(Number)).toEqual([3]);
});

test("volatile messages keep their place among the others, and too many of them are refused at once", async () => {
  const { receiver, sender, room_id } = await room();
  const stop = proxy.on(({ path }) => (path.includes("/send/") ? { kind: "drop" } : undefined));
  for (let n = 0; n < 6; n++)
    sender.session.outbox.enqueue(request(room_id, { n }), { volatile: n % 2 === 1 });
  expect(sender.session.outbox.depth()).toBe(6);
  const large = request(room_id, { x: "x".repeat(9 * 1024 * 1024) });
  sender.session.outbox.enqueue(large, { volatile: true });
  expect(await send(sender, large, { volatile: true })).toMatchObject({ ok: false });
  stop();
  await eventually(() => contents(receiver).length >= 6);
  expect(contents(receiver)).toEqual([0, 1, 2, 3, 4, 5]);
  await eventually(() => sender.session.outbox.depth() === 0);
});

test("after a new login, what receivers can't tell from a second copy is not sent again", async () => {
  const { receiver, sender, room_id } = await room();
  const who = await newUser(server);
  await sender.close();
  const first = await site.machine({ url: proxy.url, ...who });
  await receiver.session.invite(room_id, first.credentials.user_id);
  await first.session.join(room_id, []);
  const stop = proxy.on(({ path }) => (path.includes("/send/") ? { kind: "drop" } : undefined));
  const notice = { msgtype: "m.notice", body: "once" };
  first.session.outbox.enqueue({ kind: "event", room_id, type: "m.room.message", content: notice });
  await eventually(() => proxy.requests.some(({ path }) => path.includes("/send/m.room.message")));
  first.session.outbox.enqueue(request(room_id, { n: 1 }));
  const second = await site.machine({ url: proxy.url, ...who });
  await second.stop();
  stop();
  const notices = () => proxy.requests.filter(({ path }) => path.includes("/send/m.room.message")).length;
  await first.stop();
  const before = notices();
  await first.restart({ credentials: second.credentials });
  await eventually(() => contents(receiver).includes(1));
  expect(notices()).toBe(before);
});
