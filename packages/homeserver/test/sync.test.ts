import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { type EventJson, newUser, type SyncAnswer, signIn, type User } from "./support/users.ts";

let server: Homeserver;
let alice: User;
let bob: User;
let round = 0;

beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

beforeEach(async () => {
  round += 1;
  [alice, bob] = await Promise.all([newUser(server, `alice${round}`), newUser(server, `bob${round}`)]);
});

async function shared(body: Record<string, unknown> = {}): Promise<string> {
  const room = await alice.room({ invite: [bob.id], ...body });
  await bob.post(`/join/${room}`);
  return room;
}

const joined = (sync: SyncAnswer, room: string) => sync.rooms?.join?.[room];
const bodies = (events: EventJson[] | undefined) => (events ?? []).map((event) => event.content.body);

describe("a long poll", () => {
  const poll = (user: User, since: string) => user.sync(since, { timeout: "30000" });

  it("wakes at once for a message, a to-device message, account data, typing and a receipt", async () => {
    const room = await shared();
    const event = await alice.say(room, "read me");
    let { next_batch: since } = await bob.sync();
    const wake = async (act: () => Promise<unknown>) => {
      const started = performance.now();
      const waiting = poll(bob, since);
      await act();
      const answer = await waiting;
      expect(performance.now() - started).toBeLessThan(10_000);
      since = answer.next_batch;
      return answer;
    };
    expect(bodies(joined(await wake(() => alice.say(room, "hi")), room)?.timeline.events)).toEqual(["hi"]);
    const messages = { messages: { [bob.id]: { "*": { n: 1 } } } };
    expect((await wake(() => alice.put("/sendToDevice/com.example/t1", messages))).to_device?.events).toEqual(
      [{ type: "com.example", sender: alice.id, content: { n: 1 } }],
    );
    const phone = await bob.device("PHONE2");
    const data = await wake(() => phone.put(`/user/${bob.id}/account_data/com.example`, { a: 1 }));
    expect(data.account_data?.events).toEqual([{ type: "com.example", content: { a: 1 } }]);
    const typing = await wake(() => alice.put(`/rooms/${room}/typing/${alice.id}`, { typing: true }));
    expect(joined(typing, room)?.ephemeral.events).toEqual([
      { type: "m.typing", content: { user_ids: [alice.id] } },
    ]);
    const read = await wake(() => alice.post(`/rooms/${room}/receipt/m.read/${event}`));
    expect(JSON.stringify(joined(read, room)?.ephemeral.events)).toContain(event);
  });

  it("ends with nothing when its time is over", async () => {
    const { next_batch: since } = await bob.sync();
    expect((await bob.sync(since, { timeout: "30" })).rooms).toBeUndefined();
  });

  it("ends when its device is logged out", async () => {
    const { next_batch: since } = await bob.sync();
    const waiting = bob.get(`/sync?since=${since}&timeout=30000`);
    await bob.post("/logout");
    expect(await waiting).toMatchObject({
      status: 401,
      body: { errcode: "M_UNKNOWN_TOKEN", soft_logout: false },
    });
  });

  it("sleeps through what its filter does not want", async () => {
    const room = await shared();
    const { next_batch: since } = await bob.sync();
    const filter = JSON.stringify({ room: { timeline: { types: ["wanted"] } } });
    const waiting = bob.sync(since, { timeout: "30000", filter });
    await alice.say(room, "unwanted");
    await alice.put(`/rooms/${room}/send/wanted/t`, { body: "wanted" });
    expect(bodies(joined(await waiting, room)?.timeline.events)).toEqual(["wanted"]);
  });
});

describe("to-device messages", () => {
  const send = (n: number) =>
    alice.put(`/sendToDevice/com.example/n${n}`, { messages: { [bob.id]: { [bob.deviceId]: { n } } } });
  const numbers = (sync: SyncAnswer) => (sync.to_device?.events ?? []).map((event) => event.content.n);

  it("stay until the position that they came with is used", async () => {
    const { next_batch: start } = await bob.sync();
    await send(1);
    const first = await bob.sync(start);
    expect(numbers(first)).toEqual([1]);
    await send(2);
    expect(numbers(await bob.sync(start))).toEqual([1, 2]);
    expect(numbers(await bob.sync(first.next_batch))).toEqual([2]);
    expect(numbers(await bob.sync(start))).toEqual([2]);
  });

  it("come in order and without loss when there are more than fit", async () => {
    let { next_batch: since } = await bob.sync();
    const messages = (n: number) => ({ messages: { [bob.id]: { [bob.deviceId]: { n } } } });
    await Promise.all(
      Array.from({ length: 250 }, (_, n) => alice.put(`/sendToDevice/com.example/b${n}`, messages(n))),
    );
    const seen: unknown[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const answer = await bob.sync(since, { timeout: "1000" });
      seen.push(...numbers(answer));
      since = answer.next_batch;
    }
    expect(new Set(seen).size).toBe(250);
    expect(seen).toHaveLength(250);
  });

  it("reach every device by the wildcard, and each once", async () => {
    const phone = await bob.device("PHONE3");
    for (let again = 0; again < 2; again++) {
      await alice.put("/sendToDevice/com.example/same", { messages: { [bob.id]: { "*": { n: 7 } } } });
    }
    for (const device of [bob, phone]) expect(numbers(await device.sync())).toEqual([7]);
  });
});

describe("a limited timeline", () => {
  it("says where the gap begins, and the gap holds exactly what is missing", async () => {
    const room = await shared();
    const { next_batch: since } = await bob.sync();
    for (let i = 0; i < 30; i++) await alice.say(room, `m${i}`);
    const filter = JSON.stringify({ room: { timeline: { limit: 5 } } });
    const timeline = joined(await bob.sync(since, { filter }), room)?.timeline;
    expect(timeline?.limited).toBe(true);
    expect(bodies(timeline?.events)).toEqual(["m25", "m26", "m27", "m28", "m29"]);
    const query = new URLSearchParams({
      dir: "b",
      limit: "100",
      from: timeline?.prev_batch ?? "",
      to: since,
    });
    const { body } = await bob.get(`/rooms/${room}/messages?${query}`);
    expect(bodies(body.chunk as EventJson[]).reverse()).toEqual(
      Array.from({ length: 25 }, (_, i) => `m${i}`),
    );
  });

  it("brings the state that changed within the gap", async () => {
    const room = await shared();
    const { next_batch: since } = await bob.sync();
    await alice.put(`/rooms/${room}/state/com.example.task/1`, { n: 1 });
    await alice.put(`/rooms/${room}/state/com.example.task/1`, { n: 2 });
    for (let i = 0; i < 12; i++) await alice.say(room, `m${i}`);
    const state = joined(await bob.sync(since), room)?.state.events;
    expect(state).toMatchObject([{ type: "com.example.task", state_key: "1", content: { n: 2 } }]);
  });

  it("is not limited when everything fits exactly", async () => {
    const room = await shared();
    const { next_batch: since } = await bob.sync();
    for (let i = 0; i < 10; i++) await alice.say(room, `m${i}`);
    expect(joined(await bob.sync(since), room)?.timeline).toMatchObject({ limited: false });
  });
});

describe("rooms", () => {
  it("come whole when they are joined in between, with all of their state", async () => {
    const room = await alice.room({ preset: "public_chat", name: "late" });
    const { next_batch: since } = await bob.sync();
    await bob.post(`/join/${room}`);
    const answer = joined(await bob.sync(since), room);
    const events = [...(answer?.state.events ?? []), ...(answer?.timeline.events ?? [])];
    expect(events.map((event) => event.type)).toEqual(
      expect.arrayContaining(["m.room.create", "m.room.name"]),
    );
  });

  it("come with their counts for who does not load every member", async () => {
    const room = await shared();
    const filter = JSON.stringify({ room: { state: { lazy_load_members: true } } });
    const answer = joined(await bob.sync(undefined, { filter }), room);
    expect(answer?.summary).toEqual({
      "m.heroes": [alice.id],
      "m.joined_member_count": 2,
      "m.invited_member_count": 0,
    });
  });

  it("are offered with a stripped state when one is invited, once", async () => {
    const { next_batch: since } = await bob.sync();
    const room = await alice.room({ invite: [bob.id], name: "come in" });
    const answer = await bob.sync(since);
    const events = answer.rooms?.invite?.[room]?.invite_state.events ?? [];
    expect(events).toContainEqual({
      type: "m.room.name",
      state_key: "",
      sender: alice.id,
      content: { name: "come in" },
    });
    expect(events.filter((event) => event.state_key === bob.id)).toMatchObject([
      { content: { membership: "invite" } },
    ]);
    expect((await bob.sync(answer.next_batch)).rooms).toBeUndefined();
    expect((await bob.sync()).rooms?.invite).toHaveProperty([room]);
  });

  it("end with the event that ended the stay", async () => {
    const room = await shared();
    const { next_batch: since } = await bob.sync();
    await alice.say(room, "last words");
    await alice.post(`/rooms/${room}/kick`, { user_id: bob.id, reason: "bye" });
    await alice.say(room, "behind your back");
    const answer = await bob.sync(since);
    const left = answer.rooms?.leave?.[room];
    expect(bodies(left?.timeline.events)).toEqual(["last words", undefined]);
    expect(left?.timeline.events.at(-1)).toMatchObject({
      state_key: bob.id,
      content: { membership: "leave" },
    });
    expect((await bob.sync(answer.next_batch)).rooms).toBeUndefined();
    expect((await bob.sync()).rooms?.leave).toBeUndefined();
    const filter = JSON.stringify({ room: { include_leave: true } });
    expect((await bob.sync(undefined, { filter })).rooms?.leave).toHaveProperty([room]);
  });

  it("of which one declined the invitation show that, and nothing else", async () => {
    const room = await alice.room({ invite: [bob.id], name: "private matters" });
    const { next_batch: since } = await bob.sync();
    await bob.post(`/rooms/${room}/leave`);
    const left = (await bob.sync(since)).rooms?.leave?.[room];
    expect(left?.timeline.events).toMatchObject([{ state_key: bob.id, content: { membership: "leave" } }]);
    expect(JSON.stringify(left)).not.toContain("private matters");
  });
});

it("lazy members brings the members who speak, and oneself", async () => {
  const carol = await newUser(server, `carol${round}`);
  const room = await shared({ invite: [bob.id, carol.id] });
  await carol.post(`/join/${room}`);
  await alice.say(room, "hi");
  const filter = JSON.stringify({ room: { state: { lazy_load_members: true }, timeline: { limit: 1 } } });
  const first = await bob.sync(undefined, { filter });
  const members = joined(first, room)?.state.events.filter((event) => event.type === "m.room.member");
  expect(members?.map((event) => event.state_key)).toEqual(expect.arrayContaining([alice.id, bob.id]));
  await carol.say(room, "me too");
  const next = joined(await bob.sync(first.next_batch, { filter }), room);
  expect(next?.state.events.map((event) => event.state_key)).toContain(carol.id);
});

it("unread counts grow with messages, and reading resets them", async () => {
  const room = await shared();
  const counts = async () => joined(await bob.sync(), room)?.unread_notifications;
  await alice.say(room, "one");
  const second = await alice.say(room, "two");
  await alice.say(room, `three ${bob.id.slice(1).split(":")[0]}`);
  expect(await counts()).toEqual({ notification_count: 3, highlight_count: 1 });
  await bob.post(`/rooms/${room}/receipt/m.read/${second}`);
  expect(await counts()).toEqual({ notification_count: 1, highlight_count: 1 });
  const last = await alice.say(room, "four");
  await bob.post(`/rooms/${room}/read_markers`, { "m.fully_read": last, "m.read.private": last });
  expect(await counts()).toEqual({ notification_count: 0, highlight_count: 0 });
  expect(JSON.stringify(joined(await alice.sync(), room)?.ephemeral)).not.toContain("m.read.private");
});

it("what an ignored user says is not shown", async () => {
  const room = await shared();
  await bob.put(`/user/${bob.id}/account_data/m.ignored_user_list`, { ignored_users: { [alice.id]: {} } });
  await alice.say(room, "spam");
  expect(bodies(joined(await bob.sync(), room)?.timeline.events)).not.toContain("spam");
  const other = await alice.room({ invite: [bob.id] });
  expect((await bob.sync()).rooms?.invite?.[other]).toBeUndefined();
});

it("what an ignored user says is not counted as unread, before and after reading", async () => {
  const carol = await newUser(server, `ignorant${round}`);
  const room = await shared({ invite: [bob.id, carol.id] });
  await carol.post(`/join/${room}`);
  await bob.put(`/user/${bob.id}/account_data/m.ignored_user_list`, { ignored_users: { [alice.id]: {} } });
  const counts = async () => joined(await bob.sync(), room)?.unread_notifications.notification_count;
  await alice.say(room, "spam");
  expect(await counts()).toBe(0);
  const first = await carol.say(room, "news");
  await carol.say(room, "more news");
  await alice.say(room, "more spam");
  expect(await counts()).toBe(2);
  await bob.post(`/rooms/${room}/receipt/m.read/${first}`);
  expect(await counts()).toBe(1);
});

it.each(["leave", "kick"])("whoever is gone types no more (%s)", async (how) => {
  const room = await shared();
  await bob.put(`/rooms/${room}/typing/${bob.id}`, { typing: true, timeout: 60_000 });
  const { next_batch: since } = await alice.sync();
  if (how === "leave") await bob.post(`/rooms/${room}/leave`);
  else await alice.post(`/rooms/${room}/kick`, { user_id: bob.id });
  expect(joined(await alice.sync(since), room)?.ephemeral.events).toEqual([
    { type: "m.typing", content: { user_ids: [] } },
  ]);
});

it("device lists tell who came, who changed and who went", async () => {
  const keys = (user: User) => ({
    device_keys: {
      user_id: user.id,
      device_id: user.deviceId,
      algorithms: [],
      keys: { [`ed25519:${user.deviceId}`]: `key of ${user.deviceId}` },
      signatures: {},
    },
  });
  const { next_batch: start } = await alice.sync();
  const room = await shared();
  const met = await alice.sync(start);
  expect(met.device_lists?.changed).toContain(bob.id);
  await bob.post("/keys/upload", keys(bob));
  const changed = await alice.sync(met.next_batch);
  expect(changed.device_lists).toMatchObject({ changed: [bob.id] });
  const { body } = await alice.get(`/keys/changes?from=${met.next_batch}&to=${changed.next_batch}`);
  expect(body).toEqual({ changed: [bob.id], left: [] });
  await bob.post(`/rooms/${room}/leave`);
  expect((await alice.sync(changed.next_batch)).device_lists).toMatchObject({ left: [bob.id] });
});

it("a position, a filter and a transaction id stay good over a restart", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "mx-homeserver-test-"));
  let durable = await testServer({ dataDir });
  try {
    const eve = await newUser(durable, "eve");
    const room = await eve.room();
    const filterId = (await eve.post(`/user/${eve.id}/filter`, { room: { timeline: { limit: 3 } } })).body
      .filter_id;
    await eve.say(room, "before");
    // Typing moves the position in memory only; after the restart it must not come again.
    await eve.put(`/rooms/${room}/typing/${eve.id}`, { typing: true });
    const { next_batch: since } = await eve.sync();
    const path = `/rooms/${room}/send/m.room.message/once`;
    const sent = await eve.put(path, { body: "once" });
    await durable.close();
    durable = await testServer({ dataDir });
    const again = await signIn(durable, "eve", "EVE2");
    expect((await again.get(`/sync?filter=${filterId}`)).status).toBe(200);
    const old = Object.assign(await signIn(durable, "eve", "EVE3"), {});
    const after = await old.sync(since);
    expect(bodies(joined(after, room)?.timeline.events)).toEqual(["once"]);
    expect(sent.status).toBe(200);
  } finally {
    await durable.close();
    await rm(dataDir, { recursive: true });
  }
});

it("a position that was never handed out is refused", async () => {
  for (const since of ["s999999999_0", "nonsense", "s-1_0", "s1"]) {
    expect(await bob.get(`/sync?since=${since}`)).toMatchObject({
      status: 400,
      body: { errcode: "M_INVALID_PARAM" },
    });
  }
});

it("who declined an invitation is shown nothing of the room, not even among the rooms left", async () => {
  const room = await alice.room({ invite: [bob.id], name: "private matters" });
  await bob.post(`/rooms/${room}/leave`);
  const filter = JSON.stringify({ room: { include_leave: true } });
  const answer = await bob.sync(undefined, { filter });
  expect(answer.rooms?.leave).toHaveProperty([room]);
  expect(JSON.stringify(answer.rooms)).not.toContain("private matters");
});

it("who came back only to be invited sees the room as it was when they left", async () => {
  const room = await shared({ name: "then" });
  await bob.post(`/rooms/${room}/leave`);
  await alice.put(`/rooms/${room}/state/m.room.name`, { name: "now" });
  await alice.post(`/rooms/${room}/invite`, { user_id: bob.id });
  await bob.post(`/rooms/${room}/leave`);
  expect((await bob.get(`/rooms/${room}/state/m.room.name`)).body.name).toBe("then");
  const filter = JSON.stringify({ room: { include_leave: true } });
  const left = (await bob.sync(undefined, { filter })).rooms?.leave?.[room];
  expect(JSON.stringify(left)).not.toContain('"now"');
});

it("a whole stay between two looks is told in full", async () => {
  const room = await alice.room({ preset: "public_chat", name: "short visit" });
  const { next_batch: since } = await bob.sync();
  await bob.post(`/join/${room}`);
  await alice.say(room, "hello and goodbye");
  await alice.post(`/rooms/${room}/kick`, { user_id: bob.id });
  const left = (await bob.sync(since)).rooms?.leave?.[room];
  expect(JSON.stringify(left)).toContain("hello and goodbye");
  expect(JSON.stringify(left)).toContain("short visit");
});
