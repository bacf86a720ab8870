import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { bodies, type EventJson, newUser, sharedRoom, type User } from "./support/users.ts";

let server: Homeserver;
let alice: User;
let bob: User;

beforeAll(async () => {
  server = await testServer();
  [alice, bob] = await Promise.all([newUser(server, "alice"), newUser(server, "bob")]);
});
afterAll(() => server.close());

const shared = (body = {}) => sharedRoom(alice, bob, body);

describe("a transaction id", () => {
  it("sends once per device, however often it is used", async () => {
    const room = await shared();
    const path = `/rooms/${room}/send/m.room.message/once`;
    const [first, second] = await Promise.all([
      alice.put(path, { body: "1" }),
      alice.put(path, { body: "2" }),
    ]);
    expect(first.body.event_id).toBe(second.body.event_id);
    const phone = await alice.device("PHONE");
    expect((await phone.put(path, { body: "3" })).body.event_id).not.toBe(first.body.event_id);
    const { body } = await bob.get(`/rooms/${room}/messages?dir=b&limit=2`);
    expect(bodies(body.chunk)).toEqual(["3", "1"]);
  });

  it("redacts once", async () => {
    const room = await shared();
    const event = await alice.say(room, "oops");
    const path = `/rooms/${room}/redact/${event}/r1`;
    expect((await alice.put(path)).body).toEqual((await alice.put(path)).body);
  });
});

it("paging forwards and backwards visits every event once", async () => {
  const room = await shared();
  for (let i = 0; i < 25; i++) await alice.say(room, `m${i}`);
  for (const dir of ["b", "f"]) {
    const seen: unknown[] = [];
    let from: string | undefined;
    do {
      const query = new URLSearchParams({ dir, limit: "7", ...(from === undefined ? {} : { from }) });
      const { body } = await bob.get(`/rooms/${room}/messages?${query}`);
      seen.push(...(body.chunk as EventJson[]).map((event) => event.event_id));
      from = body.end as string | undefined;
    } while (from !== undefined);
    const all = (await bob.get(`/rooms/${room}/messages?dir=${dir}&limit=100`)).body.chunk as EventJson[];
    expect(seen).toEqual(all.map((event) => event.event_id));
    expect(new Set(seen).size).toBe(seen.length);
  }
});

it("a redaction takes the content everywhere, and keeps what the rules need", async () => {
  const room = await shared();
  const message = await alice.say(room, "secret");
  expect((await bob.put(`/rooms/${room}/redact/${message}/t`)).status).toBe(403);
  const redaction = await alice.put(`/rooms/${room}/redact/${message}/t`, { reason: "spam" });
  const { body } = await bob.get(`/rooms/${room}/event/${message}`);
  expect(body.content).toEqual({});
  expect(body.unsigned).toMatchObject({ redacted_because: { event_id: redaction.body.event_id } });
  expect(JSON.stringify((await bob.sync()).rooms)).not.toContain("secret");
  const member = (await alice.get(`/rooms/${room}/state`)).body as unknown as EventJson[];
  const bobs = member.find((event) => event.state_key === bob.id);
  await alice.put(`/rooms/${room}/redact/${bobs?.event_id}/t2`);
  expect((await alice.get(`/rooms/${room}/state/m.room.member/${bob.id}`)).body).toEqual({
    membership: "join",
  });
});

it("an edit and a reaction come with the event, and the same reaction counts once", async () => {
  const room = await shared();
  const event = await alice.say(room, "helo");
  const relate = (user: User, type: string, txn: string, content: Record<string, unknown>, rel: object) =>
    user.put(`/rooms/${room}/send/${type}/${txn}`, {
      ...content,
      "m.relates_to": { event_id: event, ...rel },
    });
  const edit = { body: "* hello", msgtype: "m.text", "m.new_content": { body: "hello", msgtype: "m.text" } };
  await relate(alice, "m.room.message", "e", edit, { rel_type: "m.replace" });
  await relate(bob, "m.room.message", "forged", edit, { rel_type: "m.replace" });
  const thumb = { rel_type: "m.annotation", key: "👍" };
  expect((await relate(bob, "m.reaction", "r1", {}, thumb)).status).toBe(200);
  expect(await relate(bob, "m.reaction", "r2", {}, thumb)).toMatchObject({
    status: 400,
    body: { errcode: "M_DUPLICATE_ANNOTATION" },
  });
  const { unsigned } = (await bob.get(`/rooms/${room}/event/${event}`)).body as unknown as EventJson;
  expect(unsigned["m.relations"]).toMatchObject({ "m.replace": { sender: alice.id } });
  const relations = await bob.get(`/_matrix/client/v1/rooms/${room}/relations/${event}/m.annotation`);
  expect(relations.body.chunk).toHaveLength(1);
});

it("an edit is shown with its event, however many others pretend to edit it", async () => {
  const room = await shared();
  const parent = await alice.say(room, "before");
  const edit = {
    msgtype: "m.text",
    body: "* after",
    "m.new_content": { msgtype: "m.text", body: "after" },
    "m.relates_to": { rel_type: "m.replace", event_id: parent },
  };
  await alice.put(`/rooms/${room}/send/m.room.message/edit`, edit);
  for (let n = 0; n < 101; n++) await bob.put(`/rooms/${room}/send/m.room.message/forged${n}`, edit);
  const { unsigned } = (await bob.get(`/rooms/${room}/event/${parent}`)).body as unknown as EventJson;
  expect(unsigned["m.relations"]).toMatchObject({ "m.replace": { sender: alice.id } });
});

it("a chain of edits of edits, and of redactions of redactions, is no trap", async () => {
  const room = await shared();
  let edited = await alice.say(room, "first");
  let redacted = await alice.say(room, "gone");
  for (let i = 0; i < 60; i++) {
    const content = {
      body: "*",
      "m.new_content": {},
      "m.relates_to": { rel_type: "m.thread", event_id: edited },
    };
    edited = String((await alice.put(`/rooms/${room}/send/m.room.message/chain${i}`, content)).body.event_id);
    redacted = String((await alice.put(`/rooms/${room}/redact/${redacted}/chain${i}`)).body.event_id);
  }
  const { bytes } = await bob.get(`/rooms/${room}/messages?dir=b&limit=200`);
  expect(bytes.length).toBeLessThan(300_000);
});

it("an event may have 64 KiB, and its type and key 255 bytes", async () => {
  const room = await shared();
  const send = (body: string, type = "m.room.message") =>
    alice.put(`/rooms/${room}/send/${type}/${body.length}`, { body });
  expect((await send("x".repeat(60_000))).status).toBe(200);
  expect(await send("x".repeat(66_000))).toMatchObject({ status: 413, body: { errcode: "M_TOO_LARGE" } });
  expect((await send("x", "t".repeat(256))).status).toBe(413);
  expect((await alice.put(`/rooms/${room}/state/x/${"k".repeat(256)}`, {})).status).toBe(413);
});

it("an event carries what canonical JSON can, and no more", async () => {
  const room = await shared();
  const send = (content: string) =>
    alice.put(`/rooms/${room}/send/x/${encodeURIComponent(content)}`, content);
  for (const content of [
    '{"a":1.5}',
    '{"a":9007199254740992}',
    '{"a":1e400}',
    '{"a":"\\ud800"}',
    '{"\\udc00":1}',
  ]) {
    expect(await send(content), content).toMatchObject({ status: 400, body: { errcode: "M_BAD_JSON" } });
  }
  const kept = '{"__proto__":{"polluted":true},"constructor":1,"a":9007199254740991,"z":"\\u0000"}';
  const { body } = await send(kept);
  const event = await bob.call("GET", `/rooms/${room}/event/${body.event_id}`);
  expect(JSON.stringify(event.body.content)).toBe(JSON.stringify(JSON.parse(kept)));
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});
