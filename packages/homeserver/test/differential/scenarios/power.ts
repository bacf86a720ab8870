import { enc, type Person, type Scenario, type Story } from "../story.ts";

interface Cast {
  alice: Person;
  bob: Person;
  carol: Person;
  dave: Person;
  room: string;
}

/** alice 100, bob 50, carol 0, dave 50: all joined. */
async function house(story: Story, levels: object = {}): Promise<Cast> {
  const [alice, bob, carol, dave] = await story.people("alice", "bob", "carol", "dave");
  const room = await alice.room({
    preset: "public_chat",
    power_level_content_override: {
      users: { [alice.id]: 100, [bob.id]: 50, [dave.id]: 50 },
      ...levels,
    },
  });
  for (const person of [bob, carol, dave]) await person.joined(room);
  return { alice, bob, carol, dave, room };
}

type Levels = Record<string, unknown>;

async function levelsOf(person: Person, room: string): Promise<Levels> {
  return (await person.get(`/rooms/${enc(room)}/state/m.room.power_levels/`)).body;
}

export const power: Scenario[] = [
  {
    name: "power to send",
    async play(story) {
      const { alice, bob, carol, room } = await house(story, {
        events_default: 0,
        state_default: 50,
        events: { "com.example.loud": 50, "com.example.law": 100, "com.example.open": 0 },
      });
      const send = (who: Person, type: string) =>
        who.put(`/rooms/${enc(room)}/send/${type}/${story.transaction()}`, { msgtype: "m.text", body: "x" });
      await send(carol, "m.room.message");
      await send(carol, "com.example.loud");
      await send(bob, "com.example.loud");
      await send(bob, "com.example.law");
      await send(alice, "com.example.law");
      await carol.state(room, "m.room.topic", { topic: "x" });
      await bob.state(room, "m.room.topic", { topic: "x" });
      await carol.state(room, "com.example.open", {});
      await bob.state(room, "com.example.law", {});
      await bob.state(room, "m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2" });
      await bob.state(room, "m.room.history_visibility", { history_visibility: "shared" });
      const next = await alice.room();
      await bob.state(room, "m.room.tombstone", { body: "gone", replacement_room: next });
    },
  },
  {
    name: "state keys that are user ids",
    async play(story) {
      const { bob, carol, room } = await house(story, { events: { "com.example.note": 0 } });
      await carol.state(room, "com.example.note", { text: "mine" }, carol.id, "one's own");
      await bob.state(
        room,
        "com.example.note",
        { text: "yours" },
        carol.id,
        "somebody else's, with more power",
      );
      await carol.state(room, "com.example.note", { text: "x" }, "@", "what only looks like one");
      await carol.state(room, "com.example.note", { text: "x" }, "plain", "one without an at sign");
    },
  },
  {
    name: "power to invite, kick, ban and unban",
    async play(story) {
      const { alice, bob, carol, dave, room } = await house(story, { invite: 50, kick: 50, ban: 60 });
      const [erin] = await story.people("erin");
      const act = (who: Person, verb: string, whom: Person, shows: string) =>
        who.post(`/rooms/${enc(room)}/${verb}`, { user_id: whom.id }, shows);
      await act(carol, "invite", erin, "below the level");
      await act(bob, "invite", erin, "at the level");
      await act(carol, "kick", erin, "below the level");
      await act(bob, "kick", dave, "an equal");
      await act(bob, "kick", alice, "somebody with more power");
      await act(bob, "kick", carol, "somebody with less power");
      await act(bob, "ban", carol, "below the level");
      await act(alice, "ban", carol, "at the level");
      await act(bob, "unban", carol, "below the level to ban");
      await act(alice, "ban", carol, "somebody banned");
      await act(alice, "unban", carol, "at the level");
      await act(alice, "ban", alice, "oneself");
      await alice.get(`/rooms/${enc(room)}/members`);
    },
  },
  {
    name: "an unban needs the power to kick as well",
    async play(story) {
      const { alice, bob, carol, room } = await house(story, { kick: 60, ban: 50 });
      await bob.post(`/rooms/${enc(room)}/ban`, { user_id: carol.id }, "at the level to ban");
      await bob.post(`/rooms/${enc(room)}/unban`, { user_id: carol.id }, "below the level to kick");
      await alice.post(`/rooms/${enc(room)}/unban`, { user_id: carol.id });
    },
  },
  {
    name: "levels that are none",
    async play(story) {
      const { alice, carol, room } = await house(story, {});
      const users = { [alice.id]: 100 };
      const wrong: [string, object][] = [
        ["a level that is text", { users, ban: "50" }],
        ["a level with a fraction", { users, ban: 50.5 }],
        ["a level beyond what JSON can carry", { users, ban: 2 ** 60 }],
        ["a user's level that is text", { users: { [alice.id]: "100" } }],
        ["an event's level that is nothing", { users, events: { "com.example": null } }],
        ["users as a list", { users: [] }],
        ["somebody who is no user", { users: { ...users, alice: 100 } }],
      ];
      for (const [shows, content] of wrong)
        await alice.state(room, "m.room.power_levels", content, "", shows);
      await carol.state(room, "m.room.power_levels", { users, ban: "50" }, "", "text, and without power");
      await alice.state(room, "m.room.power_levels", { users, ban: 2 ** 53 - 1, kick: -5 }, "", "odd ones");
    },
  },
  {
    name: "power to redact",
    async play(story) {
      const { alice, bob, carol, room } = await house(story, { redact: 50 });
      const redact = (who: Person, event: string, shows: string) =>
        who.put(
          `/rooms/${enc(room)}/redact/${enc(event)}/${story.transaction()}`,
          { reason: "why not" },
          shows,
        );
      const own = await carol.says(room, "one");
      await redact(carol, own, "one's own");
      await carol.get(`/rooms/${enc(room)}/event/${enc(own)}`, "what is left");
      const other = await alice.says(room, "two");
      await redact(carol, other, "somebody else's, below the level");
      await redact(bob, other, "somebody else's, at the level");
      await alice.get(`/rooms/${enc(room)}/event/${enc(other)}`, "what is left");
      await alice.state(room, "m.room.power_levels", {
        ...(await levelsOf(alice, room)),
        events: { "m.room.redaction": 50 },
      });
      await redact(carol, await carol.says(room, "three"), "one's own, below the level to send redactions");
    },
  },
  {
    name: "changing power levels",
    async play(story) {
      const { alice, bob, carol, dave, room } = await house(story, {
        events: { "com.example.law": 100, "m.room.power_levels": 50 },
      });
      const base = await levelsOf(alice, room);
      const users = base.users as Record<string, number>;
      const set = (who: Person, change: Levels, shows: string) =>
        who.state(room, "m.room.power_levels", { ...base, ...change }, "", shows);
      await set(carol, {}, "below the level");
      await set(bob, { users: { ...users, [carol.id]: 100 } }, "somebody above oneself");
      await set(bob, { users: { ...users, [bob.id]: 60 } }, "oneself up");
      await set(bob, { users: { ...users, [dave.id]: 0 } }, "an equal down");
      await set(bob, { users: { ...users, [alice.id]: 0 } }, "somebody higher down");
      await set(bob, { events: { "m.room.power_levels": 50 } }, "removing a level above oneself");
      await set(
        bob,
        { events: { ...(base.events as object), "com.example.x": 60 } },
        "adding a level above oneself",
      );
      await set(bob, { ban: 100 }, "raising a level above oneself");
      await set(bob, { users_default: 60 }, "everybody above oneself");
      await set(bob, { notifications: { room: 90 } }, "notifications above oneself");
      await set(bob, { users: { ...users, [carol.id]: 50 }, kick: 40 }, "what is below oneself");
      const now = await levelsOf(alice, room);
      const nowUsers = now.users as Record<string, number>;
      const setNow = (who: Person, change: Levels, shows: string) =>
        who.state(room, "m.room.power_levels", { ...now, ...change }, "", shows);
      await setNow(bob, { users: { ...nowUsers, [bob.id]: 10 } }, "oneself down");
      await setNow(bob, {}, "and up again");
      await setNow(alice, { ban: "50" }, "a level that is a string");
      await setNow(alice, { ban: 50.5 }, "a level that is a float");
      await setNow(alice, { users: { ...nowUsers, [carol.id]: "50" } }, "a user's level that is a string");
      await setNow(alice, { users: [] }, "users that are a list");
      await setNow(alice, { users: { ...nowUsers, nonsense: 5 } }, "a user that is none");
      await setNow(alice, { events: "x" }, "events that are a string");
      await levelsOf(alice, room);
    },
  },
  {
    name: "a room without power levels",
    async play(story) {
      const { alice, carol, room } = await house(story);
      await alice.state(room, "m.room.power_levels", {}, "", "an empty content");
      await levelsOf(alice, room);
      await carol.says(room, "hello");
      await carol.state(room, "m.room.topic", { topic: "x" }, "", "the default for state is 50");
      await alice.state(room, "m.room.topic", { topic: "x" }, "", "the creator has no power left");
    },
  },
];
