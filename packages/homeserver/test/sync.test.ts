import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { twoPeople } from "./support/two-people.ts";
import { bodies, newUser, type SyncAnswer, sharedRoom, signIn, type User } from "./support/users.ts";

let server: Homeserver;
let alice: User;
let bob: User;
let round: number;

twoPeople((they) => {
  ({ server, alice, bob, round } = they);
});

const shared = (body = {}) => sharedRoom(alice, bob, body);
const joined = (sync: SyncAnswer, room: string) => sync.rooms?.join?.[room];

describe("a long poll", () => {
  /** Longer than a test may take: whoever is answered was woken. */
  const poll = (user: User, since: string) => user.sync(since, { timeout: "600000" });

  it("wakes at once for a message, a to-device message, account data, typing and a receipt", async () => {
    const room = await shared();
    const event = await alice.say(room, "read me");
    let { next_batch: since } = await bob.sync();
    const wake = async (act: () => Promise<unknown>) => {
      const waiting = poll(bob, since);
      // It waits already: a poll that is begun after it is over, and what is done is done after both.
      await bob.sync(since, { timeout: "1" });
      await act();
      const answer = await waiting;
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

  it("are refused when too many of one sender wait; those that were accepted all come, and others still send", async () => {
    const phone = await bob.device("PHONE4");
    const pad = "x".repeat(65_000);
    let accepted = 0;
    const fill = async () => {
      const message = { messages: { [bob.id]: { [bob.deviceId]: { pad } } } };
      const answer = await alice.put(`/sendToDevice/com.example/full${accepted}`, message);
      if (answer.status === 200) accepted += 1;
      return answer;
    };
    let answer = await fill();
    while (answer.status === 200 && accepted < 1_000) answer = await fill();
    expect(answer).toMatchObject({
      status: 429,
      body: { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 5_000 },
    });
    expect(answer.headers.get("retry-after")).toBe("5");
    // All or nothing: the same request goes as it was, once there is room.
    const both = { messages: { [bob.id]: { "*": { pad: `${pad} at last` } } } };
    const send = () => alice.put("/sendToDevice/com.example/both", both);
    expect((await send()).status).toBe(429);
    expect((await phone.sync()).to_device).toBeUndefined();
    const carol = await newUser(server, `carol${round}`);
    const small = { messages: { [bob.id]: { [bob.deviceId]: { n: 1 } } } };
    expect((await carol.put("/sendToDevice/com.example/c", small)).status).toBe(200);
    let came = 0;
    let since: string | undefined;
    for (let more = true; more; ) {
      const sync = await bob.sync(since);
      since = sync.next_batch;
      more = sync.to_device !== undefined;
      came += sync.to_device?.events.length ?? 0;
    }
    expect(came).toBe(accepted + 1);
    expect((await send()).status).toBe(200);
    for (const device of [await bob.sync(since), await phone.sync()])
      expect(device.to_device?.events).toMatchObject([{ content: { pad: `${pad} at last` } }]);
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
    expect(bodies(body.chunk).reverse()).toEqual(Array.from({ length: 25 }, (_, i) => `m${i}`));
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
