import { enc, roomVersion, type Scenario } from "../story.ts";

export const rooms: Scenario[] = [
  ...(["private_chat", "trusted_private_chat", "public_chat"] as const).map(
    (preset): Scenario => ({
      name: `a room of preset ${preset}`,
      async play(story) {
        const [alice, bob] = await story.people("alice", "bob");
        const room = await alice.room({ preset, invite: [bob.id], is_direct: true });
        await alice.get(`/rooms/${enc(room)}/state`);
        await bob.joined(room);
        await bob.get(`/rooms/${enc(room)}/state/m.room.power_levels/`);
      },
    }),
  ),
  {
    name: "a room with everything",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({
        name: "The shed",
        topic: "Tools",
        visibility: "public",
        preset: "private_chat",
        room_alias_name: story.localpart("shed"),
        creation_content: { "m.federate": false, type: "com.example.shed" },
        invite: [bob.id],
        initial_state: [
          { type: "m.room.encryption", content: { algorithm: "m.megolm.v1.aes-sha2" } },
          { type: "m.room.guest_access", state_key: "", content: { guest_access: "forbidden" } },
          { type: "com.example.tool", state_key: "hammer", content: { weight: 2 } },
        ],
        power_level_content_override: { events: { "com.example.tool": 50 }, invite: 50 },
      });
      await alice.get(`/rooms/${enc(room)}/state`);
      await alice.get(`/rooms/${enc(room)}/messages?dir=b&limit=50`);
      await bob.get(`/directory/room/${enc(`#${story.localpart("shed")}:${story.serverName}`)}`);
      await bob.get(`/directory/list/room/${enc(room)}`);
    },
  },
  {
    name: "rooms that can't be made",
    async play(story) {
      const [alice] = await story.people("alice");
      const make = (body: object, shows: string) =>
        alice.post("/createRoom", { room_version: roomVersion, ...body }, shows);
      await make({ room_alias_name: story.localpart("taken") }, "an alias");
      await make({ room_alias_name: story.localpart("taken") }, "the same alias again");
      await make({ room_version: "no-such-version" }, "an unknown version");
      await make({ room_version: 11 }, "a version that is no string");
      await make({ invite: "alice" }, "an invite that is no list");
      await make({ invite: ["alice"] }, "an invite of something that is no user id");
      await make({ initial_state: [{ content: {} }] }, "an initial state without a type");
      await make({ preset: "no_such_preset" }, "an unknown preset");
      await make({ room_alias_name: "has:colon" }, "an alias with a colon");
      await make({ power_level_content_override: { users: { [alice.id]: 0 } } }, "a creator without power");
      await make({ creation_content: [] }, "a creation content that is no object");
    },
  },
  {
    name: "state",
    async play(story) {
      const [alice, bob, carol] = await story.people("alice", "bob", "carol");
      const room = await alice.room({ preset: "public_chat" });
      const path = `/rooms/${enc(room)}/state`;
      await bob.joined(room);
      await alice.state(room, "m.room.topic", { topic: "one" });
      await alice.state(room, "m.room.topic", { topic: "one" }, "", "the same once more");
      await alice.state(room, "m.room.topic", { topic: "two" });
      await alice.get(`${path}/m.room.topic`);
      await alice.get(`${path}/m.room.topic/`);
      await alice.get(`${path}/m.room.topic/?format=event`);
      await alice.get(`${path}/com.example.none/`);
      await alice.state(room, "com.example.tool", { weight: 1 }, "a/b c?#");
      await alice.get(`${path}/com.example.tool/${enc("a/b c?#")}`);
      await bob.state(room, "com.example.tool", { weight: 1 }, "", "without the power");
      await alice.state(room, "com.example.tool", { weight: 1.5 }, "", "a float");
      await alice.state(room, "com.example.tool", { weight: 2 ** 60 }, "", "too large an integer");
      await alice.state(room, "com.example.tool", [], "", "no object");
      await alice.state(room, "com.example.tool", "{", "", "no JSON");
      await alice.state(room, "com.example.tool", { text: "x".repeat(70_000) }, "", "too large");
      await alice.state(room, "com.example.tool", {}, "k".repeat(300), "too long a state key");
      await alice.state(room, "m.room.create", {}, "", "a second creation");
      await carol.get(path, "from outside");
      await carol.get(`${path}/m.room.topic/`, "from outside");
      await carol.state(room, "m.room.topic", { topic: "mine" });
      await bob.post(`/rooms/${enc(room)}/leave`, {});
      await alice.state(room, "m.room.topic", { topic: "three" });
      await bob.get(`${path}/m.room.topic/`, "as it was when he left");
      await bob.get(`/rooms/${enc(room)}/members`, "as they were when he left");
      await alice.get(`/rooms/${enc("!nowhere:localhost")}/state`, "a room that is not there");
    },
  },
  {
    name: "members",
    async play(story) {
      const [alice, bob, carol, dave] = await story.people("alice", "bob", "carol", "dave");
      const room = await alice.room({ preset: "public_chat", invite: [carol.id] });
      await bob.joined(room);
      await dave.joined(room);
      const before = await alice.get(
        `/sync?filter=${enc('{"presence":{"types":[]},"room":{"timeline":{"limit":1}}}')}`,
      );
      await dave.post(`/rooms/${enc(room)}/leave`, { reason: "bored" });
      await alice.get(`/rooms/${enc(room)}/members`);
      await alice.get(`/rooms/${enc(room)}/members?membership=join`);
      await alice.get(`/rooms/${enc(room)}/members?not_membership=join`);
      await alice.get(`/rooms/${enc(room)}/members?at=${enc(before.position)}&membership=join`);
      await alice.get(`/rooms/${enc(room)}/joined_members`);
      await carol.get(`/rooms/${enc(room)}/joined_members`, "an invited one");
      await dave.get(`/rooms/${enc(room)}/joined_members`, "one who left");
      await bob.get("/joined_rooms");
      await dave.get("/joined_rooms");
    },
  },
  {
    name: "aliases and the directory",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat", name: story.localpart("attic") });
      const alias = `#${story.localpart("attic")}:${story.serverName}`;
      const path = `/directory/room/${enc(alias)}`;
      await bob.joined(room);
      await bob.get(path, "an alias that is not there");
      await alice.put(path, { room_id: room });
      await alice.put(path, { room_id: room }, "once more");
      await story.nobody.get(path);
      await alice.get(`/rooms/${enc(room)}/aliases`);
      await alice.put(
        `/directory/room/${enc("#other:elsewhere.example")}`,
        { room_id: room },
        "on another server",
      );
      await alice.put(`/directory/room/${enc("not-an-alias")}`, { room_id: room });
      await alice.put(path.replace("attic", "cellar"), {}, "without a room");
      await alice.state(room, "m.room.canonical_alias", { alias });
      await alice.state(
        room,
        "m.room.canonical_alias",
        { alias: `#no.such:${story.serverName}` },
        "",
        "unknown",
      );
      await bob.post(`/join/${enc(`#no.such:${story.serverName}`)}`, {});
      await bob.delete(path, undefined, "somebody else's");
      await alice.put(`/directory/list/room/${enc(room)}`, { visibility: "public" });
      await bob.put(`/directory/list/room/${enc(room)}`, { visibility: "private" }, "without the power");
      await alice.put(`/directory/list/room/${enc(room)}`, { visibility: "hidden" });
      await bob.get(`/directory/list/room/${enc(room)}`);
      await bob.post("/publicRooms", { filter: { generic_search_term: story.localpart("attic") } });
      await bob.get("/publicRooms");
      await bob.get(`/_matrix/client/v1/room_summary/${enc(room)}`);
      await bob.get(`/_matrix/client/v1/room_summary/${enc(alias)}`);
      await bob.post("/publicRooms", { filter: { generic_search_term: "no room is called this" } });
      await alice.delete(path);
      await alice.get(path);
      await alice.delete(path, undefined, "once more");
      await alice.put(`/directory/list/room/${enc(room)}`, { visibility: "private" });
      await alice.get(`/directory/list/room/${enc("!nowhere:localhost")}`);
    },
  },
];
