import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";
import { newUser, sharedRoom, type User } from "./support/users.ts";

let server: Homeserver;
let alice: User;
let bob: User;

beforeAll(async () => {
  server = await testServer();
  [alice, bob] = await Promise.all([newUser(server, "alice"), newUser(server, "bob")]);
});
afterAll(() => server.close());

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

describe("an invitation to another server", () => {
  it("is refused as state, too, in a new room as in an old one", async () => {
    const room = await sharedRoom(alice, bob);
    const path = `/rooms/${room}/state/m.room.member/${encodeURIComponent("@x:evil.example")}`;
    expect((await alice.put(path, { membership: "invite" })).status).toBe(403);
    const state = { type: "m.room.member", state_key: "@x:evil.example", content: { membership: "invite" } };
    expect((await alice.post("/createRoom", { initial_state: [state] })).status).toBe(403);
  });
});
