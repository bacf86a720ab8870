import { rm } from "node:fs/promises";
import { expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { IncomingEvent } from "../../src/matrix/api.ts";
import type { ProxiedAnswer } from "../support/fault-proxy.ts";
import { CHUNK, REQUEST, request, send, type TestMachine } from "./helpers.ts";
import { ownSite } from "./own-site.ts";

const { site, proxy } = ownSite();

/** An encrypted room, in which the builder reaches the homeserver through the proxy. */
const encryptedRoom = () => site.twoInARoom({ encrypted: true }, { url: proxy.url });

const isRequest = (event: IncomingEvent) => event.type === REQUEST;
const has = (word: string) => (event: IncomingEvent) => JSON.stringify(event.content).includes(word);

/** Changes every answer to /sync that comes through the proxy. */
function rewriteSync(change: (body: Sync) => void): () => void {
  const rewrite = (answer: ProxiedAnswer) => {
    if (answer.status !== 200) return answer;
    const body: Sync = JSON.parse(answer.body);
    change(body);
    return { ...answer, body: JSON.stringify(body) };
  };
  return proxy.on(({ path }) => (path.includes("/sync") ? { kind: "rewrite", change: rewrite } : undefined));
}

interface RawEvent {
  type: string;
  sender: string;
  content: object;
}
interface Sync {
  to_device?: { events: RawEvent[] };
  rooms?: { join?: Record<string, Record<string, { events: RawEvent[] }>> };
}

/** What was sent into rooms and to devices through the proxy: the types that the homeserver saw. */
const typesSent = () =>
  proxy.requests.flatMap(({ method, path }) => {
    const type = /\/(?:send|sendToDevice)\/([^/]+)/.exec(path.replace(/\/rooms\/[^/]+/, ""))?.[1];
    return method === "PUT" && type ? [decodeURIComponent(type)] : [];
  });

test("in an encrypted room, requests arrive decrypted, with the device that sent them", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  expect(builder.session.rooms.get(room_id)?.encrypted).toBe(true);
  expect(await send(builder, request(room_id, { n: 1 }))).toMatchObject({ ok: true });
  const event = await laptop.event(isRequest);
  expect(event).toMatchObject({
    type: REQUEST,
    content: { n: 1 },
    sender: builder.credentials.user_id,
    transport: {
      encrypted: true,
      device_id: builder.credentials.device_id,
      authentic: true,
      verified: false,
    },
  });
  await send(laptop, request(room_id, { n: 2 }));
  expect((await builder.event(has('"n":2'))).transport).toMatchObject({
    device_id: laptop.credentials.device_id,
    authentic: true,
  });
  expect(typesSent()).toContain("m.room.encrypted");
  expect(new Set(typesSent())).toEqual(new Set(["m.room.encrypted"]));
});

test("messages to a device for an encrypted room are encrypted, and say which device they are from", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  const { user_id, device_id } = laptop.credentials;
  for (let n = 0; n < 20; n++) {
    const outgoing = { kind: "to_device", room_id, user_id, device_id, type: CHUNK, content: { n } } as const;
    builder.session.outbox.enqueue(outgoing, { volatile: n % 2 === 0 });
  }
  await eventually(() => laptop.events.length === 20);
  const came = laptop.events.map((one) => Number(Object(one.content).n));
  expect(came.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n));
  expect(laptop.events[0]).toMatchObject({
    kind: "to_device",
    type: CHUNK,
    sender: builder.credentials.user_id,
    transport: {
      encrypted: true,
      device_id: builder.credentials.device_id,
      authentic: true,
      verified: false,
    },
  });
  expect(typesSent().includes(CHUNK)).toBe(false);
});

test.each([true, false])(
  "a message to a device that is not there is told (room encrypted: %s)",
  async (encrypted) => {
    const { laptop, builder, room_id } = await site.twoInARoom({ encrypted });
    const { user_id } = laptop.credentials;
    const to = {
      kind: "to_device",
      room_id,
      user_id,
      device_id: "NOSUCH",
      type: CHUNK,
      content: {},
    } as const;
    expect(await send(builder, to)).toMatchObject({ ok: false, error: { code: "MX_NOT_FOUND" } });
    expect(builder.session.outbox.depth()).toBe(0);
  },
);

test("a restarted machine is the same device, decrypts what came meanwhile, and sends nothing in the clear", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  await send(laptop, request(room_id, { n: 1 }));
  await builder.event(isRequest);
  await builder.stop();
  await send(laptop, request(room_id, { n: 2 }));
  await builder.restart();
  const answer = send(builder, request(room_id, { n: 3 }));
  expect((await builder.event(has('"n":2'))).transport).toMatchObject({ encrypted: true, authentic: true });
  expect(await answer).toMatchObject({ ok: true });
  expect((await laptop.event(has('"n":3'))).transport).toMatchObject({
    device_id: builder.credentials.device_id,
    authentic: true,
  });
  expect(new Set(typesSent())).toEqual(new Set(["m.room.encrypted"]));
  expect(builder.session.undecryptable()).toBe(0);
});

test("what can't be decrypted yet is kept over restarts, and delivered when the keys come", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  const held: RawEvent[] = [];
  const stop = rewriteSync((body) => held.push(...(body.to_device?.events.splice(0) ?? [])));
  await send(laptop, request(room_id, { n: 1 }));
  await eventually(() => builder.session.undecryptable() === 1);
  expect(builder.events.filter(isRequest)).toEqual([]);
  await builder.restart();
  await builder.session.ready();
  expect(builder.session.undecryptable()).toBe(1);
  expect(held.length).toBeGreaterThan(0);

  stop();
  rewriteSync((body) => {
    body.to_device = { events: [...held.splice(0), ...(body.to_device?.events ?? [])] };
  });
  // The /sync that is under way was let through by the rule before; the one after it brings the keys.
  await send(laptop, request(room_id, { n: 2 }));
  await eventually(() => builder.session.undecryptable() === 2 || builder.events.length > 0);
  await send(laptop, request(room_id, { n: 3 }));
  const event = await builder.event(has('"n":1'));
  expect(event).toMatchObject({ content: { n: 1 }, transport: { encrypted: true, authentic: true } });
  await builder.event(has('"n":3'));
  expect(builder.session.undecryptable()).toBe(0);
});

test("a plain event in an encrypted room is told as plain", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  await site.api(laptop, "PUT", `/rooms/${room_id}/send/${REQUEST}/1`, { n: 1 });
  expect((await builder.event(isRequest)).transport).toEqual({ encrypted: false });
});

test("an event whose sender the server changed is not authentic", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  rewriteSync((body) => {
    for (const event of body.rooms?.join?.[room_id]?.timeline?.events ?? []) {
      if (event.type === "m.room.encrypted") event.sender = builder.credentials.user_id;
    }
  });
  await send(laptop, request(room_id, { n: 1 }));
  const event = await builder.event(isRequest);
  expect(event.sender).toBe(builder.credentials.user_id);
  expect(event.transport).toMatchObject({ encrypted: true, authentic: false });
});

test("a server that hides that a room is encrypted gets no plain text", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  await builder.stop();
  await builder.restart();
  await builder.session.ready();
  rewriteSync((body) => {
    for (const room of Object.values(body.rooms?.join ?? {})) {
      for (const section of Object.values(room)) {
        if (Array.isArray(section?.events))
          section.events = section.events.filter((one) => one.type !== "m.room.encryption");
      }
    }
  });
  await forgetState(builder, room_id);
  expect(builder.session.rooms.get(room_id)?.encrypted).toBe(true);
  await send(builder, request(room_id, { n: 1 }));
  expect((await laptop.event(isRequest)).transport).toMatchObject({ encrypted: true, authentic: true });
  expect(new Set(typesSent())).toEqual(new Set(["m.room.encrypted"]));
});

test.each([
  ["redacted", {}],
  ["changed to one that nobody knows", { algorithm: "org.example.none" }],
  ["changed to keys for each message", { algorithm: "m.megolm.v1.aes-sha2", rotation_period_msgs: 1 }],
])(
  "a room whose encryption was %s goes on encrypted as it began, also after a restart",
  async (_, content) => {
    const { laptop, builder, room_id } = await encryptedRoom();
    await send(builder, request(room_id, { n: 1 }));
    await laptop.event(has('"n":1'));
    await site.api(laptop, "PUT", `/rooms/${room_id}/state/m.room.encryption/`, content);
    const shown = () => builder.session.rooms.stateEvent(room_id, "m.room.encryption", "")?.content;
    await eventually(() => JSON.stringify(shown()) === JSON.stringify(content));
    await builder.restart();
    await builder.session.ready();
    expect(await send(builder, request(room_id, { n: 2 }))).toMatchObject({ ok: true });
    expect((await laptop.event(has('"n":2'))).transport).toMatchObject({ encrypted: true, authentic: true });
    expect(new Set(typesSent())).toEqual(new Set(["m.room.encrypted"]));
  },
);

/** Restarts with a state that knows nothing of encryption, as if the server had never shown it again. */
async function forgetState(machine: TestMachine, room_id: string): Promise<void> {
  machine.db.run("DELETE FROM room_state WHERE room_id = ? AND type = 'm.room.encryption'", room_id);
  await machine.restart();
  await machine.session.ready();
}

test("an edit of an encrypted request does not change it", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  await builder.stop();
  const sent = await send(laptop, request(room_id, { command: ["ls"] }));
  const event_id = sent.ok ? sent.event_id : null;
  const relation = { rel_type: "m.replace", event_id };
  await send(
    laptop,
    request(room_id, { "m.new_content": { command: ["rm"] }, "m.relates_to": relation, command: ["mv"] }),
  );
  await builder.restart();
  expect((await builder.event((one) => one.event_id === event_id)).content).toEqual({ command: ["ls"] });
});

test("who joins an encrypted room later reads what is sent from then on", async () => {
  const { laptop, room_id } = await encryptedRoom();
  await send(laptop, request(room_id, { n: 1 }));
  const third = await site.machine();
  await laptop.session.invite(room_id, third.credentials.user_id);
  await third.session.join(room_id, []);
  await eventually(() => laptop.session.rooms.isJoined(room_id, third.credentials.user_id));
  await send(laptop, request(room_id, { n: 2 }));
  expect((await third.event(isRequest)).content).toEqual({ n: 2 });
});

test("one failure of the encryption in a sync loses no keys: the same sync is asked for again", async () => {
  const { laptop, builder, room_id } = await encryptedRoom();
  let broken = false;
  const stop = rewriteSync((body) => {
    if (broken || !body.to_device?.events.length) return;
    broken = true;
    Object.assign(body, { device_lists: { changed: ["not a user id"], left: [] } });
  });
  await send(laptop, request(room_id, { n: 1 }));
  await eventually(() => broken && builder.session.health().state === "degraded");
  expect((await builder.event(isRequest)).content).toEqual({ n: 1 });
  expect(builder.session.undecryptable()).toBe(0);
  stop();
});

test("a second session can't take the keys of a device that is in use", async () => {
  const laptop = await site.machine();
  await laptop.session.ready();
  const { credentials, cryptoDir } = laptop;
  await expect(site.machine({ credentials, cryptoDir })).rejects.toMatchObject({ code: "MX_STORE_LOCKED" });
});

test("keys that are gone are not made anew without a word", async () => {
  const laptop = await site.machine();
  await laptop.session.ready();
  await laptop.stop();
  await rm(laptop.cryptoDir, { recursive: true });
  await expect(laptop.restart()).rejects.toMatchObject({ code: "MX_STORE_MISSING" });
});
