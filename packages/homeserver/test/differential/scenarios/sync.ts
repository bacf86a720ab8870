import { type Answer, enc, type Person, type Scenario } from "../story.ts";

const inline = (definition: object) => enc(JSON.stringify(definition));

/** A sync that answers at once, without presence, whose time of arrival nobody promises. */
function sync(
  person: Person,
  since?: Answer,
  filter: object = {},
  more = "",
  shows?: string,
): Promise<Answer> {
  const position = since ? `&since=${enc(since.position)}` : "";
  return person.get(`/sync?timeout=0&filter=${inline({ ...quiet, ...filter })}${position}${more}`, shows);
}

const quiet = { presence: { types: [] }, account_data: { not_types: ["m.push_rules"] } };

export const syncing: Scenario[] = [
  {
    name: "a first sync and what follows",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const empty = await sync(alice);
      const room = await alice.room({ preset: "private_chat", name: "Den" });
      const made = await sync(alice, empty);
      await sync(alice, made, {}, "", "nothing new");
      await alice.post(`/rooms/${enc(room)}/invite`, { user_id: bob.id });
      const invited = await sync(bob, undefined, {}, "", "an invitation");
      await bob.joined(room);
      await sync(bob, invited, {}, "", "a room joined since");
      const before = await sync(alice, made);
      await bob.says(room, "hello");
      await alice.says(room, "hello yourself");
      await sync(alice, before, {}, "", "two messages, one with a transaction id");
      await sync(alice, before, {}, "", "the same position once more");
      await alice.state(room, "m.room.topic", { topic: "one" });
      await sync(alice, before, {}, "", "a state event in the timeline");
      await sync(alice, before, {}, "&full_state=true", "the full state");
      await sync(alice, undefined, {}, "", "from the beginning");
      await alice.get("/sync?timeout=0&since=nonsense");
      await alice.get("/sync?timeout=soon");
      await alice.get("/sync?timeout=0&filter=nonsense");
      await alice.get("/sync?timeout=0&filter=12345");
      await alice.get("/sync?timeout=0&set_presence=asleep");
    },
  },
  {
    name: "timelines and their limits",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      const start = await sync(alice);
      for (let i = 0; i < 12; i++) await bob.says(room, `message ${i}`);
      const limit = (n: number) => ({ room: { timeline: { limit: n } } });
      const limited = await sync(alice, start, limit(3), "", "limited");
      const gap = limited.text("rooms", "join", room, "timeline", "prev_batch");
      await alice.get(
        `/rooms/${enc(room)}/messages?dir=b&limit=50&from=${enc(gap)}&to=${enc(start.position)}`,
        "the gap",
      );
      await sync(alice, start, limit(12), "", "just as many");
      await sync(alice, start, limit(11), "", "one fewer");
      await sync(alice, undefined, limit(1), "", "from the beginning");
      await bob.state(room, "m.room.member", { membership: "join", displayname: "Bob" }, bob.id);
      for (let i = 0; i < 4; i++) await bob.says(room, `later ${i}`);
      await sync(alice, start, limit(2), "", "state that fell into the gap");
    },
  },
  {
    name: "filters",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat" });
      const other = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      const start = await sync(alice);
      await bob.says(room, "one");
      await alice.says(room, "two");
      await alice.says(other, "three");
      await alice.put(`/rooms/${enc(room)}/send/com.example.x.v1/${story.transaction()}`, {});
      const since = (filter: object, shows: string) => sync(alice, start, filter, "", shows);
      await since({ room: { timeline: { types: ["m.room.message"] } } }, "types");
      await since({ room: { timeline: { types: ["com.example.*"] } } }, "types with a wildcard");
      await since({ room: { timeline: { not_types: ["m.room.message"] } } }, "not types");
      await since({ room: { timeline: { types: ["m.room.*"], not_types: ["m.room.topic"] } } }, "both");
      await since({ room: { timeline: { senders: [bob.id] } } }, "senders");
      await since({ room: { timeline: { not_senders: [bob.id] } } }, "not senders");
      await since({ room: { rooms: [room] } }, "rooms");
      await since({ room: { not_rooms: [room] } }, "not rooms");
      await since({ room: { timeline: { rooms: [other] } } }, "rooms of the timeline");
      await since({ room: { timeline: { types: [] } } }, "no types");
      await since(
        {
          event_fields: ["type", "event_id", "sender", "origin_server_ts", "content.body"],
          room: { timeline: { types: ["m.room.message"] } },
        },
        "event fields",
      );
      await since({ event_format: "client" }, "event format");
      await sync(alice, undefined, { room: { state: { types: ["m.room.member"] }, timeline: { limit: 1 } } });
      await sync(alice, undefined, { room: { state: { lazy_load_members: true }, timeline: { limit: 1 } } });
      const path = `/user/${enc(alice.id)}/filter`;
      const made = await alice.post(path, { ...quiet, room: { timeline: { limit: 5 } } });
      await alice.get(`${path}/${made.text("filter_id")}`);
      await alice.get(`/sync?timeout=0&filter=${made.text("filter_id")}&since=${enc(start.position)}`);
      await alice.get(`${path}/99999`);
      await bob.get(`${path}/${made.text("filter_id")}`, "somebody else's");
      await bob.post(path, {}, "for somebody else");
      await alice.post(path, { room: { timeline: { limit: "many" } } });
      await alice.post(path, { room: [] });
      await alice.post(path, { event_format: "unknown" });
    },
  },
  {
    name: "leaving, being kicked, banned and knocking",
    async play(story) {
      const [alice, bob, carol] = await story.people("alice", "bob", "carol");
      const room = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      await carol.joined(room);
      const [bobAt, carolAt] = [await sync(bob), await sync(carol)];
      await alice.says(room, "before");
      await bob.post(`/rooms/${enc(room)}/leave`, {});
      await alice.post(`/rooms/${enc(room)}/ban`, { user_id: carol.id, reason: "noise" });
      await alice.says(room, "after");
      const left = await sync(bob, bobAt, {}, "", "a room left since");
      await sync(bob, left, {}, "", "and once more");
      await sync(carol, carolAt, {}, "", "banned since");
      await sync(bob, undefined, {}, "", "from the beginning, without rooms left");
      await sync(bob, undefined, { room: { include_leave: true } }, "", "with rooms left");
      const invited = await sync(carol);
      const den = await alice.room({
        preset: "private_chat",
        initial_state: [{ type: "m.room.join_rules", content: { join_rule: "knock" } }],
      });
      await carol.post(`/knock/${enc(den)}`, { reason: "let me in" });
      await sync(carol, invited, {}, "", "having knocked");
      await alice.post(`/rooms/${enc(den)}/kick`, { user_id: carol.id });
      await sync(carol, invited, {}, "", "the knock refused");
      await alice.post(`/rooms/${enc(den)}/invite`, { user_id: bob.id });
      const asked = await sync(bob, left, {}, "", "an invitation");
      await bob.post(`/rooms/${enc(den)}/leave`, {});
      await sync(bob, asked, {}, "", "an invitation declined");
    },
  },
  {
    name: "coming and going between two syncs",
    async play(story) {
      const [alice, bob, carol] = await story.people("alice", "bob", "carol");
      const room = await alice.room({ preset: "public_chat", name: "inn" });
      for (const who of [bob, carol]) await who.joined(room);
      const [bobAt, carolAt] = [await sync(bob), await sync(carol)];
      for (const who of [bob, carol]) {
        await who.says(room, "before");
        await who.post(`/rooms/${enc(room)}/leave`, {});
      }
      await alice.says(room, "meanwhile");
      await alice.state(room, "m.room.topic", { topic: "meanwhile" });
      await alice.post(`/rooms/${enc(room)}/invite`, { user_id: bob.id });
      await sync(bob, bobAt, {}, "", "left, and invited again");
      await carol.joined(room);
      for (const text of ["after", "and later"]) await alice.says(room, text);
      await sync(carol, carolAt, {}, "", "left, and joined again");
      const invited = await sync(bob);
      await bob.post(`/rooms/${enc(room)}/leave`, {});
      await alice.post(`/rooms/${enc(room)}/invite`, { user_id: bob.id });
      await sync(bob, invited, {}, "", "declined, and invited again");
    },
  },
  {
    name: "typing, receipts and unread counts",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      const lobby = await alice.room({ preset: "public_chat" });
      await bob.joined(lobby);
      const event = await alice.says(room, "one");
      const start = await sync(bob, undefined, {}, "", "unread");
      const typing = `/rooms/${enc(lobby)}/typing/${enc(alice.id)}`;
      await alice.put(typing, { typing: true, timeout: 30_000 });
      const typed = await bob.until(
        `/sync?timeout=0&filter=${inline(quiet)}&since=${enc(start.position)}`,
        (answer) => answer.value("rooms", "join", lobby, "ephemeral") !== undefined,
        "somebody types",
      );
      await alice.put(typing, { typing: false });
      await bob.until(
        `/sync?timeout=0&filter=${inline(quiet)}&since=${enc(typed.position)}`,
        (answer) => answer.value("rooms", "join", lobby, "ephemeral") !== undefined,
        "and no more",
      );
      await bob.put(typing, { typing: true, timeout: 1000 }, "for somebody else");
      await alice.put(typing, { timeout: 1000 }, "without saying whether");
      await alice.post(`/rooms/${enc(lobby)}/leave`, {});
      await bob.post(`/rooms/${enc(lobby)}/leave`, {});
      const receipt = (type: string, at: string) => `/rooms/${enc(room)}/receipt/${type}/${enc(at)}`;
      const before = await sync(alice);
      await bob.post(receipt("m.read", event), {});
      await alice.until(
        `/sync?timeout=0&filter=${inline(quiet)}&since=${enc(before.position)}`,
        (answer) => answer.value("rooms", "join", room, "ephemeral") !== undefined,
        "a receipt",
      );
      await sync(bob, undefined, {}, "", "read");
      const second = await alice.says(room, `${bob.id}: two`);
      await sync(bob, undefined, { room: { timeline: { limit: 1 } } }, "", "unread again");
      const privately = await sync(alice);
      await bob.post(receipt("m.read.private", second), {});
      await sync(alice, privately, {}, "", "a private receipt is nobody else's");
      await sync(bob, undefined, { room: { timeline: { limit: 1 } } }, "", "read, privately");
      await bob.post(receipt("m.unknown", second), {});
      await bob.post(receipt("m.read", second), { thread_id: "main" });
      await bob.post(receipt("m.read", second), { thread_id: 7 });
      await bob.post(`/rooms/${enc(room)}/read_markers`, { "m.fully_read": second, "m.read": second });
      await bob.get(`/user/${enc(bob.id)}/rooms/${enc(room)}/account_data/m.fully_read`);
      await bob.post(`/rooms/${enc(room)}/read_markers`, {});
    },
  },
  {
    name: "account data and tags",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room();
      const start = await sync(alice);
      const global = `/user/${enc(alice.id)}/account_data`;
      const inRoom = `/user/${enc(alice.id)}/rooms/${enc(room)}/account_data`;
      await alice.put(`${global}/com.example.settings`, { theme: "dark" });
      await alice.get(`${global}/com.example.settings`);
      await alice.get(`${global}/com.example.none`);
      await alice.put(`${inRoom}/com.example.settings`, { muted: true });
      await alice.get(`${inRoom}/com.example.settings`);
      await alice.get(`${inRoom}/com.example.none`);
      await bob.get(`${global}/com.example.settings`, "somebody else's");
      await bob.put(`${global}/com.example.settings`, {}, "somebody else's");
      await alice.put(`${global}/m.push_rules`, {}, "what the server keeps");
      await alice.put(`${inRoom}/m.fully_read`, {}, "what the server keeps");
      await alice.put(`${global}/com.example.settings`, [], "no object");
      await alice.put(`/user/${enc(alice.id)}/rooms/nonsense/account_data/com.example.x`, {});
      const tags = `/user/${enc(alice.id)}/rooms/${enc(room)}/tags`;
      await alice.put(`${tags}/u.work`, { order: 0.5 });
      await alice.get(tags);
      await sync(alice, start, {}, "", "what changed");
      await alice.delete(`${tags}/u.work`);
      await alice.get(tags);
      await bob.get(tags, "somebody else's");
      await sync(alice, undefined, { account_data: { types: ["com.example.*"] } }, "", "only some types");
    },
  },
];
