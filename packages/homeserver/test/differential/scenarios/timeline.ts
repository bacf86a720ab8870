import { enc, type Scenario } from "../story.ts";

const filter = (definition: object) => enc(JSON.stringify(definition));

export const timeline: Scenario[] = [
  {
    name: "sending",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const phone = await story.device("alice", "PHONE");
      const room = await alice.room({ preset: "public_chat" });
      const path = `/rooms/${enc(room)}/send`;
      const text = (body: string) => ({ msgtype: "m.text", body });
      await alice.put(`${path}/m.room.message/one`, text("one"));
      await alice.put(`${path}/m.room.message/one`, text("one"), "the same transaction");
      await alice.put(`${path}/m.room.message/one`, text("other"), "the same transaction, another content");
      await phone.put(`${path}/m.room.message/one`, text("one"), "the same transaction of another device");
      await alice.put(`${path}/com.example.odd/two`, { "dotted.key": [1, { deep: null }], "": "" });
      await alice.put(`${path}/m.room.message/three`, [], "no object");
      await alice.put(`${path}/m.room.message/four`, { n: 1.5 }, "a float");
      await alice.put(`${path}/m.room.message/five`, { n: 2 ** 53 }, "too large an integer");
      await alice.put(`${path}/m.room.message/six`, text("x".repeat(70_000)), "too large an event");
      await alice.put(`${path}/${"t".repeat(300)}/seven`, {}, "too long a type");
      await alice.put(`${path}/m.room.message/eight`, text("\ud83d\ude00 \u0001 é"));
      await alice.post(`${path}/m.room.message/nine`, text("x"), "a method that it has not");
      await bob.put(`${path}/m.room.message/one`, text("x"), "from outside");
      await alice.put(`/rooms/${enc("!nowhere:localhost")}/send/m.room.message/one`, text("x"));
      await alice.put("/rooms/nonsense/send/m.room.message/one", text("x"));
      await alice.get(
        `/rooms/${enc(room)}/messages?dir=b&limit=4`,
        "with the transaction ids of this device",
      );
      await phone.get(`/rooms/${enc(room)}/messages?dir=b&limit=4`, "and of that one");
    },
  },
  {
    name: "paging",
    async play(story) {
      const [alice, bob, carol] = await story.people("alice", "bob", "carol");
      const room = await alice.room({ preset: "public_chat" });
      const path = `/rooms/${enc(room)}/messages`;
      for (const text of ["one", "two", "three"]) await alice.says(room, text);
      await bob.joined(room);
      for (const text of ["four", "five"]) await bob.says(room, text);
      const first = await alice.get(`${path}?dir=b&limit=3`);
      const second = await alice.get(`${path}?dir=b&limit=3&from=${enc(first.text("end"))}`);
      await alice.get(`${path}?dir=f&limit=3&from=${enc(second.text("end"))}`);
      await alice.get(`${path}?dir=b&limit=50&to=${enc(second.text("end"))}`);
      await alice.get(`${path}?dir=b&limit=50`);
      await alice.get(`${path}?dir=f&limit=50`);
      await alice.get(`${path}?dir=f&from=${enc(first.text("start"))}`, "from the newest");
      await alice.get(`${path}?dir=b&filter=${filter({ types: ["m.room.message"], senders: [bob.id] })}`);
      await alice.get(`${path}?dir=b&limit=50&filter=${filter({ not_types: ["m.room.*"] })}`);
      await alice.get(`${path}?dir=b&limit=2&filter=${filter({ lazy_load_members: true })}`);
      await alice.get(`${path}?dir=x`);
      await alice.get(`${path}?dir=b&limit=x`);
      await alice.get(`${path}?dir=b&limit=-1`);
      await alice.get(`${path}?dir=b&from=nonsense`);
      await alice.get(`${path}?dir=b&filter=nonsense`);
      await carol.get(`${path}?dir=b`, "from outside");
      await bob.post(`/rooms/${enc(room)}/leave`, {});
      await alice.says(room, "six");
      await bob.get(`${path}?dir=b&limit=2`, "up to where he left");
    },
  },
  {
    name: "one event and its surroundings",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat" });
      const events: string[] = [];
      for (const text of ["one", "two", "three", "four", "five"]) events.push(await alice.says(room, text));
      const middle = events[2] ?? "";
      await alice.get(`/rooms/${enc(room)}/event/${enc(middle)}`);
      await alice.get(`/rooms/${enc(room)}/context/${enc(middle)}?limit=2`);
      await alice.get(`/rooms/${enc(room)}/context/${enc(middle)}?limit=0`);
      await alice.get(`/rooms/${enc(room)}/event/${enc(`$${"x".repeat(43)}`)}`);
      await alice.get(`/rooms/${enc(room)}/context/${enc(`$${"x".repeat(43)}`)}`);
      await bob.get(`/rooms/${enc(room)}/event/${enc(middle)}`, "from outside");
      await bob.get(`/rooms/${enc(room)}/context/${enc(middle)}`, "from outside");
      const other = await bob.room();
      await bob.get(`/rooms/${enc(other)}/event/${enc(middle)}`, "an event of another room");
    },
  },
  {
    name: "history visibility",
    async play(story) {
      const [alice, bob, carol] = await story.people("alice", "bob", "carol");
      for (const visibility of ["invited", "joined", "shared", "world_readable"]) {
        const room = await alice.room({
          preset: "public_chat",
          initial_state: [{ type: "m.room.history_visibility", content: { history_visibility: visibility } }],
        });
        const before = await alice.says(room, "before the invitation");
        await alice.post(`/rooms/${enc(room)}/invite`, { user_id: bob.id });
        await alice.says(room, "after the invitation");
        await bob.joined(room);
        await alice.says(room, "after joining");
        const types = filter({ types: ["m.room.message"] });
        await bob.get(`/rooms/${enc(room)}/messages?dir=b&filter=${types}`, `${visibility}: what bob sees`);
        await bob.get(`/rooms/${enc(room)}/event/${enc(before)}`, `${visibility}: the earliest`);
        await carol.get(`/rooms/${enc(room)}/messages?dir=b&filter=${types}`, `${visibility}: from outside`);
        await carol.get(`/rooms/${enc(room)}/state/m.room.join_rules/`, `${visibility}: from outside`);
      }
    },
  },
  {
    name: "relations",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      const parent = await alice.says(room, "parent");
      const path = `/rooms/${enc(room)}/relations/${enc(parent)}`.replace(
        "/rooms",
        "/_matrix/client/v1/rooms",
      );
      const send = (type: string, content: object) =>
        bob.put(`/rooms/${enc(room)}/send/${type}/${story.transaction()}`, content);
      const annotation = { rel_type: "m.annotation", event_id: parent, key: "👍" };
      await send("m.reaction", { "m.relates_to": annotation });
      await send("m.reaction", { "m.relates_to": annotation });
      await send("m.room.message", {
        msgtype: "m.text",
        body: "ref",
        "m.relates_to": { rel_type: "m.reference", event_id: parent },
      });
      await alice.put(`/rooms/${enc(room)}/send/m.room.message/${story.transaction()}`, {
        msgtype: "m.text",
        body: "* edited",
        "m.new_content": { msgtype: "m.text", body: "edited" },
        "m.relates_to": { rel_type: "m.replace", event_id: parent },
      });
      await alice.get(path);
      await alice.get(`${path}/m.annotation`);
      await alice.get(`${path}/m.reference/m.room.message`);
      await alice.get(`${path}/m.thread`);
      await alice.get(`${path}?limit=1`);
      await alice.get(`${path}?dir=f`);
      await alice.get(`/rooms/${enc(room)}/event/${enc(parent)}`, "with what is bundled");
      await alice.get(path.replace(enc(parent), enc(`$${"x".repeat(43)}`)), "of an event that is not there");
    },
  },
  {
    name: "redaction",
    async play(story) {
      const [alice, bob] = await story.people("alice", "bob");
      const room = await alice.room({ preset: "public_chat" });
      await bob.joined(room);
      const event = await alice.says(room, "secret");
      const path = `/rooms/${enc(room)}/redact/${enc(event)}`;
      await alice.put(`${path}/r1`, { reason: "a slip" });
      await alice.put(`${path}/r1`, { reason: "a slip" }, "the same transaction");
      await bob.get(`/rooms/${enc(room)}/event/${enc(event)}`);
      await bob.get(`/rooms/${enc(room)}/messages?dir=b&limit=2`);
      const member = (await alice.get(`/rooms/${enc(room)}/state/m.room.member/${enc(bob.id)}?format=event`))
        .event;
      await alice.put(`/rooms/${enc(room)}/redact/${enc(member)}/r2`, {}, "a membership");
      await alice.get(`/rooms/${enc(room)}/state/m.room.member/${enc(bob.id)}`, "what is kept of it");
      const topic = (await alice.state(room, "m.room.topic", { topic: "secret" })).event;
      await alice.put(`/rooms/${enc(room)}/redact/${enc(topic)}/r3`, {}, "a state event");
      await alice.get(`/rooms/${enc(room)}/state/m.room.topic/`, "what is kept of it");
      await alice.put(
        `/rooms/${enc(room)}/send/m.room.redaction/r4`,
        { redacts: await alice.says(room, "another") },
        "sent as an event",
      );
      await bob.get(`/rooms/${enc(room)}/messages?dir=b&limit=2`);
    },
  },
];
