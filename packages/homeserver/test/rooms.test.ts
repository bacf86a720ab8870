import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { type EventJson, newUser, type User } from "./support/users.ts";

let server: Homeserver;
let alice: User;
let bob: User;
let carol: User;

beforeAll(async () => {
  server = await testServer();
  [alice, bob, carol] = await Promise.all([
    newUser(server, "alice"),
    newUser(server, "bob"),
    newUser(server, "carol"),
  ]);
});
afterAll(() => server.close());

const bodies = (chunk: unknown) => (chunk as EventJson[]).map((event) => event.content.body);

/** A room of alice's with bob in it. */
async function shared(body: Record<string, unknown> = {}): Promise<string> {
  const room = await alice.room({ invite: [bob.id], ...body });
  expect((await bob.post(`/join/${room}`)).status).toBe(200);
  return room;
}

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

it("a room is made whole or not at all", async () => {
  const before = (await alice.get("/joined_rooms")).body;
  const answer = await alice.post("/createRoom", {
    room_alias_name: "half",
    initial_state: [{ type: "m.room.power_levels", state_key: "", content: { users: { [alice.id]: 0 } } }],
    topic: "needs a level that nobody has any more",
  });
  expect(answer).toMatchObject({ status: 403, body: { errcode: "M_FORBIDDEN" } });
  expect((await alice.get("/joined_rooms")).body).toEqual(before);
  expect((await alice.get("/directory/room/%23half%3Alocalhost")).status).toBe(404);
});

it("power levels, initial state and invitations of a creation are as asked for", async () => {
  const room = await alice.room({
    name: "workspace",
    initial_state: [{ type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    power_level_content_override: { state_default: 100, events: { "com.mxagent.agent.v1": 50 } },
    invite: [bob.id],
    is_direct: true,
  });
  expect((await alice.get(`/rooms/${room}/state/m.room.encryption/`)).body.algorithm).toBe(
    "m.megolm.v1.aes-sha2",
  );
  expect((await alice.get(`/rooms/${room}/state/m.room.power_levels`)).body).toMatchObject({
    state_default: 100,
    events: { "com.mxagent.agent.v1": 50 },
    users: { [alice.id]: 100 },
  });
  expect((await alice.get(`/rooms/${room}/state/m.room.member/${bob.id}`)).body).toMatchObject({
    membership: "invite",
    is_direct: true,
  });
});

it("restricted joins and upgrades are refused, clearly", async () => {
  const room = await alice.room({
    initial_state: [{ type: "m.room.join_rules", content: { join_rule: "restricted", allow: [] } }],
  });
  expect(await bob.post(`/join/${room}`)).toMatchObject({ status: 403, body: { errcode: "M_FORBIDDEN" } });
  expect(await alice.post(`/rooms/${room}/upgrade`, { new_version: "12" })).toMatchObject({
    status: 404,
    body: { errcode: "M_UNRECOGNIZED" },
  });
  expect(await alice.post("/createRoom", { room_version: "12" })).toMatchObject({
    status: 400,
    body: { errcode: "M_UNSUPPORTED_ROOM_VERSION" },
  });
});

describe("outsiders", () => {
  it("learn nothing of a room and change nothing in it", async () => {
    const room = await shared();
    const event = await alice.say(room, "between us");
    for (const path of [
      "state",
      "members",
      "joined_members",
      "messages?dir=b",
      "state/m.room.name",
      "aliases",
    ]) {
      expect((await carol.get(`/rooms/${room}/${path}`)).status, path).toBe(403);
    }
    for (const path of [`event/${event}`, `context/${event}`]) {
      expect([403, 404], path).toContain((await carol.get(`/rooms/${room}/${path}`)).status);
    }
    expect((await carol.get(`/_matrix/client/v1/rooms/${room}/relations/${event}`)).status).not.toBe(200);
    for (const [method, path, body] of [
      ["PUT", "send/m.room.message/t", { body: "x" }],
      ["PUT", "state/m.room.topic", { topic: "x" }],
      ["PUT", `redact/${event}/t`, {}],
      ["POST", "invite", { user_id: carol.id }],
      ["POST", "kick", { user_id: bob.id }],
      ["POST", "ban", { user_id: bob.id }],
      ["PUT", `typing/${carol.id}`, { typing: true }],
      ["POST", `receipt/m.read/${event}`, {}],
      ["POST", "read_markers", { "m.read": event }],
      ["POST", "join", {}],
    ] as const) {
      expect(await carol.call(method, `/rooms/${room}/${path}`, body), path).toMatchObject({
        status: 403,
        body: { errcode: "M_FORBIDDEN" },
      });
    }
    expect((await alice.get(`/rooms/${room}/event/${event}`)).body.content).toMatchObject({
      body: "between us",
    });
  });

  it("can't read an event through another room of theirs", async () => {
    const event = await alice.say(await shared(), "elsewhere");
    const own = await carol.room();
    expect((await carol.get(`/rooms/${own}/event/${event}`)).status).toBe(404);
    expect((await carol.put(`/rooms/${own}/redact/${event}/t`)).status).toBe(404);
    expect((await carol.post(`/rooms/${own}/receipt/m.read/${event}`)).status).toBe(404);
  });
});

describe("who left", () => {
  it("sees the room as it was then, and nothing after", async () => {
    const room = await shared({ name: "before" });
    await alice.say(room, "one");
    await bob.post(`/rooms/${room}/leave`);
    await alice.say(room, "two");
    await alice.put(`/rooms/${room}/state/m.room.name`, { name: "after" });
    expect(bodies((await bob.get(`/rooms/${room}/messages?dir=b&limit=50`)).body.chunk)).not.toContain("two");
    expect((await bob.get(`/rooms/${room}/state/m.room.name`)).body.name).toBe("before");
    expect((await bob.get(`/rooms/${room}/joined_members`)).status).toBe(403);
  });

  it("sees nothing any more once they forgot it, until they are back", async () => {
    const room = await shared();
    const event = await alice.say(room, "one");
    expect((await bob.post(`/rooms/${room}/forget`)).status).toBe(400);
    await bob.post(`/rooms/${room}/leave`);
    expect((await bob.post(`/rooms/${room}/forget`)).status).toBe(200);
    expect((await bob.get(`/rooms/${room}/messages?dir=b`)).status).toBe(403);
    expect((await bob.get(`/rooms/${room}/event/${event}`)).status).toBe(404);
    await alice.post(`/rooms/${room}/invite`, { user_id: bob.id });
    await bob.post(`/join/${room}`);
    expect((await bob.get(`/rooms/${room}/event/${event}`)).status).toBe(200);
  });
});

describe("history visibility", () => {
  const sees = async (visibility: string) => {
    const room = await alice.room({
      preset: "private_chat",
      initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: visibility } }],
    });
    await alice.say(room, "before");
    await alice.post(`/rooms/${room}/invite`, { user_id: bob.id });
    await alice.say(room, "invited");
    await bob.post(`/join/${room}`);
    await alice.say(room, "joined");
    const { body } = await bob.get(`/rooms/${room}/messages?dir=f&limit=50`);
    return bodies(body.chunk).filter((text) => text !== undefined);
  };

  it.each([
    ["shared", ["before", "invited", "joined"]],
    ["world_readable", ["before", "invited", "joined"]],
    ["invited", ["invited", "joined"]],
    ["joined", ["joined"]],
  ])("%s", async (visibility, expected) => {
    expect(await sees(visibility)).toEqual(expected);
  });

  it("a filter does not open what is hidden", async () => {
    const room = await alice.room({
      preset: "public_chat",
      initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: "joined" } }],
    });
    await alice.say(room, "hidden");
    await bob.post(`/join/${room}`);
    const sync = await bob.sync(undefined, { full_state: "true" });
    expect(bodies(sync.rooms?.join?.[room]?.timeline.events)).not.toContain("hidden");
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

it("knocking, and being let in", async () => {
  const room = await alice.room({
    initial_state: [{ type: "m.room.join_rules", content: { join_rule: "knock" } }],
    name: "behind a door",
  });
  expect((await bob.post(`/knock/${room}`, { reason: "please" })).body.room_id).toBe(room);
  const { knock } = (await bob.sync()).rooms ?? {};
  expect(JSON.stringify(knock?.[room])).toContain("behind a door");
  await alice.post(`/rooms/${room}/invite`, { user_id: bob.id });
  expect((await bob.post(`/join/${room}`)).status).toBe(200);
});

it("a published room is found, an unpublished one is not", async () => {
  const open = await alice.room({ visibility: "public", name: "Open house", room_alias_name: "open" });
  const closed = await alice.room({ name: "Closed house" });
  const { body } = await bob.post("/publicRooms", { filter: { generic_search_term: "house" } });
  const ids = (body.chunk as { room_id: string }[]).map((room) => room.room_id);
  expect(ids).toContain(open);
  expect(ids).not.toContain(closed);
  expect((await bob.put(`/directory/list/room/${open}`, { visibility: "private" })).status).toBe(403);
  expect((await bob.post("/join/%23open%3Alocalhost")).body.room_id).toBe(open);
  expect((await bob.delete("/directory/room/%23open%3Alocalhost")).status).toBe(403);
  expect((await alice.put("/directory/room/%23open%3Alocalhost", { room_id: closed })).status).toBe(409);
  expect((await alice.delete("/directory/room/%23open%3Alocalhost")).status).toBe(200);
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

it("federation is absent, and says so", async () => {
  const room = await alice.room();
  const far = "@friend:example.org";
  const refusals = [
    await alice.post(`/rooms/${room}/invite`, { user_id: far }),
    await alice.post("/createRoom", { invite: [far] }),
    await alice.post("/join/!far:example.org"),
    await alice.post("/join/%23far%3Aexample.org"),
    await alice.get("/publicRooms?server=example.org"),
  ];
  for (const { status, body } of refusals) {
    expect([403, 404]).toContain(status);
    expect(body.error).toContain("does not federate");
  }
  const { body } = await alice.post("/keys/query", { device_keys: { [far]: [] } });
  expect(body.failures).toHaveProperty(["example.org"]);
});

describe("somebody who left", () => {
  it("reads no member event that came later, lazily loaded ones neither", async () => {
    const room = await shared({ invite: [bob.id, carol.id] });
    await carol.post(`/join/${room}`);
    await carol.put(`/rooms/${room}/send/m.room.message/before`, { body: "before" });
    await bob.post(`/rooms/${room}/leave`);
    await alice.post(`/rooms/${room}/kick`, { user_id: carol.id, reason: "SECRET" });
    const filter = encodeURIComponent(JSON.stringify({ lazy_load_members: true }));
    const page = await bob.get(`/rooms/${room}/messages?dir=b&limit=50&filter=${filter}`);
    expect(page.status).toBe(200);
    expect(JSON.stringify(page.body.state)).toContain(carol.id);
    expect(JSON.stringify(page.body)).not.toContain("SECRET");
  });
});

describe("an invitation to another server", () => {
  it("is refused as state, too, in a new room as in an old one", async () => {
    const room = await shared();
    const path = `/rooms/${room}/state/m.room.member/${encodeURIComponent("@x:evil.example")}`;
    expect((await alice.put(path, { membership: "invite" })).status).toBe(403);
    const state = { type: "m.room.member", state_key: "@x:evil.example", content: { membership: "invite" } };
    expect((await alice.post("/createRoom", { initial_state: [state] })).status).toBe(403);
  });
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
