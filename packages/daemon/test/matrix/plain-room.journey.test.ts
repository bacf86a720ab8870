import { expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { AGENT, CHUNK, plainRoom, REQUEST, request, send } from "./helpers.ts";
import { ownSite } from "./own-site.ts";

const { site } = ownSite();

test("what one machine sends into a room, the other receives as it was sent, once", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom();
  const sent = await send(laptop, request(room_id, { n: 1, nested: { a: [1, "ü"] } }));
  const event = await builder.event((one) => one.type === REQUEST);
  expect(sent).toEqual({ ok: true, event_id: event.event_id });
  expect(event).toMatchObject({
    kind: "timeline",
    room_id,
    sender: laptop.credentials.user_id,
    content: { n: 1, nested: { a: [1, "ü"] } },
    backfilled: false,
    transport: { encrypted: false },
  });
  expect(event).not.toHaveProperty("state_key");
  const own = await laptop.event((one) => one.event_id === event.event_id);
  expect(own.sender).toBe(laptop.session.account.user_id);
  expect(laptop.session.outbox.depth()).toBe(0);
  expect(builder.session.health()).toMatchObject({ state: "healthy", notes: [] });
});

test("an event that was received before a restart does not come again after it", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom();
  await send(laptop, request(room_id, { n: 1 }));
  await builder.event((one) => one.type === REQUEST);
  await builder.restart();
  await send(laptop, request(room_id, { n: 2 }));
  await eventually(() => builder.events.filter((one) => one.type === REQUEST).length === 2);
  expect(builder.events.map((one) => one.content)).toEqual([{ n: 1 }, { n: 2 }]);
});

test("an event whose work did not end before a restart comes again", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom();
  const working = Promise.withResolvers<void>();
  await builder.restart({
    onEvent: () => {
      working.resolve();
      return Promise.reject(new Error("the disk is full"));
    },
  });
  await send(laptop, request(room_id, { n: 1 }));
  await working.promise;
  await builder.restart();
  expect(await builder.event((one) => one.type === REQUEST)).toMatchObject({ content: { n: 1 } });
});

test("the state of our types comes as events, and can be read with names, members and powers", async () => {
  const agent = { type: AGENT, state_key: "builder", content: { agent_id: "builder" } };
  const { laptop, builder, room_id } = await site.twoInARoom({ initial_state: [agent] });
  expect(await builder.event((one) => one.type === AGENT)).toMatchObject({
    state_key: "builder",
    content: agent.content,
  });
  const { rooms } = builder.session;
  expect(rooms.stateEvent(room_id, AGENT, "builder")).toMatchObject({ content: agent.content });
  expect(rooms.get(room_id)).toMatchObject({ name: "lab", membership: "join", encrypted: false });
  expect((await rooms.resolve("lab")).room_id).toBe(room_id);
  await expect(rooms.resolve("#nowhere:localhost")).rejects.toMatchObject({ code: "MX_NOT_FOUND" });

  await laptop.session.setPowerLevel(room_id, builder.credentials.user_id, 50);
  const member = () =>
    rooms.members(room_id).then((all) => all.find((one) => one.user_id === builder.credentials.user_id));
  await eventually(async () => (await member())?.power_level === 50);
  const powers = (await rooms.members(room_id)).map((one) => one.power_level);
  expect(Math.max(...powers)).toBeGreaterThanOrEqual(100);

  await laptop.session.setState(room_id, AGENT, "builder", { agent_id: "builder", status: "offline" });
  await builder.event((one) => JSON.stringify(one.content).includes("offline"));
  await builder.restart();
  expect(builder.session.rooms.stateEvent(room_id, AGENT, "builder")?.content).toMatchObject({
    status: "offline",
  });
  expect(builder.session.rooms.isJoined(room_id, laptop.credentials.user_id)).toBe(true);
});

test("a room shows who invited to it, and after leaving it nobody counts as joined", async () => {
  const [host, guest] = await Promise.all([site.machine(), site.machine()]);
  const room_id = await host.session.createRoom(plainRoom);
  await host.session.invite(room_id, guest.credentials.user_id);
  const invitation = await eventually(() => guest.session.rooms.get(room_id));
  expect(invitation).toMatchObject({ membership: "invite", inviter: host.credentials.user_id, name: "lab" });
  await guest.session.join(room_id, []);
  await guest.session.leave(room_id);
  await eventually(() => guest.session.rooms.get(room_id)?.membership === "leave");
  expect(guest.session.rooms.isJoined(room_id, host.credentials.user_id)).toBe(false);
  expect(await send(guest, request(room_id, {}))).toMatchObject({
    ok: false,
    error: { code: "MX_NOT_FOUND" },
  });
});

test("an edit does not change a request, and a redaction does not take it back", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom();
  const first = { command: ["ls"] };
  await builder.stop();
  const sent = await send(laptop, request(room_id, first));
  const event_id = sent.ok ? sent.event_id : null;
  const edit = {
    "m.new_content": { command: ["rm"] },
    "m.relates_to": { rel_type: "m.replace", event_id },
    command: ["mv"],
  };
  await send(laptop, request(room_id, edit));
  await builder.restart();
  const received = await builder.event((one) => one.event_id === event_id);
  expect(received.content).toEqual(first);

  const live = await send(laptop, request(room_id, { command: ["id"] }));
  const live_id = live.ok ? live.event_id : null;
  await site.api(laptop, "PUT", `/rooms/${room_id}/redact/${live_id}/1`, {});
  await send(laptop, request(room_id, { last: true }));
  await builder.event((one) => JSON.stringify(one.content).includes("last"));
  expect(builder.events.find((one) => one.event_id === live_id)?.content).toEqual({ command: ["id"] });
});

test("of 250 messages to a device, all come, once, and without a room in common", async () => {
  const [laptop, builder] = await Promise.all([site.machine(), site.machine()]);
  const room_id = await laptop.session.createRoom(plainRoom);
  await builder.session.ready();
  await builder.stop();
  const { user_id, device_id } = builder.credentials;
  for (let n = 0; n < 250; n++) {
    laptop.session.outbox.enqueue({
      kind: "to_device",
      room_id,
      user_id,
      device_id,
      type: CHUNK,
      content: { n },
    });
  }
  await laptop.session.outbox.drained();
  await builder.restart();
  await eventually(() => builder.events.length === 250);
  const came = builder.events.map((one) => Number(Object(one.content).n));
  expect(came.sort((a, b) => a - b)).toEqual(Array.from({ length: 250 }, (_, n) => n));
  expect(builder.events[0]).toMatchObject({
    kind: "to_device",
    event_id: null,
    transport: { encrypted: false },
  });
});

test("other events do not reach the inbox", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom();
  await send(laptop, {
    kind: "event",
    room_id,
    type: "m.room.message",
    content: { msgtype: "m.notice", body: "hello" },
  });
  await send(laptop, request(room_id, { n: 1 }));
  await builder.event((one) => one.type === REQUEST);
  expect(builder.events.map((one) => one.type)).toEqual([REQUEST]);
});

test("how far the server's clock is off is known", async () => {
  const laptop = await site.machine();
  await laptop.session.ready();
  const skew = laptop.session.clockSkew();
  expect(Math.abs(skew ?? Number.NaN)).toBeLessThan(5_000);
});
