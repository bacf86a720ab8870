import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { bodies, newUser, sharedRoom, type User } from "./support/users.ts";

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

const shared = (body = {}) => sharedRoom(alice, bob, body);

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

  it("do not learn who is in a room, or banned from it, from how they are refused", async () => {
    const room = await shared();
    const tries = async () => {
      const answers: unknown[] = [];
      for (const action of ["kick", "ban", "unban", "invite"])
        answers.push((await carol.post(`/rooms/${room}/${action}`, { user_id: bob.id })).body);
      return answers;
    };
    const before = await tries();
    await bob.post(`/rooms/${room}/leave`);
    expect(await tries()).toEqual(before);
    await alice.post(`/rooms/${room}/ban`, { user_id: bob.id });
    expect(await tries()).toEqual(before);
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
