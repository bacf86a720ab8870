import { describe, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { twoPeople } from "./support/two-people.ts";
import {
  bodies,
  newUser,
  type RoomJson,
  type SyncAnswer,
  sharedRoom,
  text,
  type User,
} from "./support/users.ts";

let server: Homeserver;
let alice: User;
let bob: User;
let round: number;

twoPeople((they) => {
  ({ server, alice, bob, round } = they);
});

const shared = (body = {}) => sharedRoom(alice, bob, body);
const joined = (sync: SyncAnswer, room: string) => sync.rooms?.join?.[room];

describe("rooms", () => {
  it("that were left and that invite again meanwhile are both: the story up to the end, and the invite", async () => {
    const room = await shared();
    const { next_batch: since } = await bob.sync();
    await alice.say(room, "before");
    await bob.post(`/rooms/${room}/leave`);
    await alice.say(room, "meanwhile");
    await alice.post(`/rooms/${room}/invite`, { user_id: bob.id });
    const { rooms } = await bob.sync(since);
    expect(rooms?.invite?.[room]?.invite_state.events.length).toBeGreaterThan(0);
    const events = rooms?.leave?.[room]?.timeline.events;
    expect(events?.map((event) => event.content.body ?? event.content.membership)).toEqual([
      "before",
      "leave",
    ]);
  });

  it("that were left and joined again meanwhile come whole, also where history is for those who were there", async () => {
    const initial_state = [
      { type: "m.room.history_visibility", state_key: "", content: { history_visibility: "joined" } },
    ];
    const room = await shared({ preset: "public_chat", initial_state });
    const { next_batch: since } = await bob.sync();
    await bob.post(`/rooms/${room}/leave`);
    await alice.put(`/rooms/${room}/state/m.room.topic`, { topic: "meanwhile" });
    await bob.post(`/join/${room}`);
    const came = joined(await bob.sync(since), room);
    expect(came?.timeline.limited).toBe(true);
    const state = [...(came?.state.events ?? []), ...(came?.timeline.events ?? [])];
    expect(state.find((event) => event.type === "m.room.topic")?.content).toEqual({ topic: "meanwhile" });
  });

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

describe("who was removed, and more besides, before they looked again", () => {
  const removals = {
    "is banned": async (room: string) => {
      await alice.post(`/rooms/${room}/ban`, { user_id: bob.id });
      return ["leave", "ban"];
    },
    "declines to come back": async (room: string) => {
      await alice.post(`/rooms/${room}/invite`, { user_id: bob.id });
      await bob.post(`/rooms/${room}/leave`);
      return ["leave", "invite", "leave"];
    },
  };
  const memberships = (room: RoomJson | undefined) =>
    room?.timeline.events
      .filter((event) => event.type === "m.room.member" && event.state_key === bob.id)
      .map((event) => event.content.membership);

  it.each(["is banned", "declines to come back"] as const)(
    "and %s, is told what was said until they went, and nothing of later",
    async (how) => {
      const room = await shared({ name: "then" });
      const { next_batch: since } = await bob.sync();
      await alice.put(`/rooms/${room}/state/m.room.topic/`, { topic: "to hear" });
      await alice.say(room, "last words");
      await alice.post(`/rooms/${room}/kick`, { user_id: bob.id });
      await alice.say(room, "behind your back");
      await alice.put(`/rooms/${room}/state/m.room.name/`, { name: "now" });
      const expected = await removals[how](room);
      const answer = await bob.sync(since);
      const left = answer.rooms?.leave?.[room];
      expect(bodies(left?.timeline.events)).toContain("last words");
      expect(memberships(left)).toEqual(expected);
      expect(left?.timeline.limited).toBe(false);
      expect(JSON.stringify(left)).toContain("to hear");
      expect(JSON.stringify(left)).not.toMatch(/behind your back|"now"/);
      expect((await bob.sync(answer.next_batch)).rooms).toBeUndefined();
    },
  );

  it("is told of the gap where not all of it fits", async () => {
    const room = await shared();
    const { next_batch: since } = await bob.sync();
    await alice.put(`/rooms/${room}/state/m.room.topic/`, { topic: "to hear" });
    for (const n of [1, 2, 3]) await alice.say(room, `said ${n}`);
    await alice.post(`/rooms/${room}/kick`, { user_id: bob.id });
    await alice.put(`/rooms/${room}/state/m.room.name/`, { name: "now" });
    await alice.post(`/rooms/${room}/ban`, { user_id: bob.id });
    for (const limit of [1, 2, 3]) {
      const filter = JSON.stringify({ room: { timeline: { limit } } });
      const left = (await bob.sync(since, { filter })).rooms?.leave?.[room];
      expect(left?.timeline).toMatchObject({ limited: true });
      expect(left?.timeline.events).toHaveLength(limit);
      expect(JSON.stringify(left?.state)).toContain("to hear");
      expect(JSON.stringify(left)).not.toContain('"now"');
      const query = new URLSearchParams({ dir: "b", from: left?.timeline.prev_batch ?? "", to: since });
      const { body } = await bob.get(`/rooms/${room}/messages?${query}`);
      const before = bodies(body.chunk).reverse();
      expect([...before, ...bodies(left?.timeline.events)].filter((said) => said !== undefined)).toEqual([
        "said 1",
        "said 2",
        "said 3",
      ]);
    }
  });
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

it("a receipt further back, of the other kind, brings no unread counts back", async () => {
  const room = await shared();
  const counts = async () => joined(await bob.sync(), room)?.unread_notifications.notification_count;
  const first = await alice.say(room, "one");
  await alice.say(room, "two");
  const third = await alice.say(room, "three");
  await alice.say(room, "four");
  await bob.post(`/rooms/${room}/receipt/m.read/${third}`);
  expect(await counts()).toBe(1);
  await bob.post(`/rooms/${room}/receipt/m.read.private/${first}`);
  expect(await counts()).toBe(1);
});

it("another name of one's own in between leaves the unread counts as they are", async () => {
  const room = await shared();
  const counts = async () => joined(await bob.sync(), room)?.unread_notifications.notification_count;
  const first = await alice.say(room, "one");
  await alice.say(room, "two");
  await bob.put(`/profile/${bob.id}/displayname`, { displayname: "Robert" });
  await alice.say(room, "three");
  await bob.post(`/rooms/${room}/receipt/m.read/${first}`);
  expect(await counts()).toBe(2);
});

it("a receipt of a thread marks that thread, and none marks what is elsewhere", async () => {
  const room = await shared();
  const counts = async () => joined(await bob.sync(), room)?.unread_notifications.notification_count;
  const root = await alice.say(room, "a thread");
  const inThread = async (n: number) => {
    const relation = { rel_type: "m.thread", event_id: root };
    const content = { msgtype: "m.text", body: `${n}`, "m.relates_to": relation };
    return text(await alice.put(`/rooms/${room}/send/m.room.message/thread${n}`, content), "event_id");
  };
  const read = (event: string, thread?: string) =>
    bob.post(`/rooms/${room}/receipt/m.read/${event}`, thread === undefined ? {} : { thread_id: thread });
  await inThread(1);
  const second = await inThread(2);
  await alice.say(room, "beside it");
  const third = await inThread(3);
  expect(await counts()).toBe(5);
  await read(second, root);
  expect(await counts()).toBe(3);
  await read(third, root);
  expect(await counts()).toBe(2);
  await read(root, "main");
  expect(await counts()).toBe(1);
  await inThread(4);
  expect(await counts()).toBe(2);
  await read(await alice.say(room, "the last"), "main");
  expect(await counts()).toBe(1);
  await read(await alice.say(room, "all of it"));
  expect(await counts()).toBe(0);
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
