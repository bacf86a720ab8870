import { expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { IncomingEvent } from "../../src/matrix/api.ts";
import { login } from "../../src/matrix/login.ts";
import { newUser, request, send, type TestMachine } from "./helpers.ts";
import { ownSite } from "./own-site.ts";

const { server, site } = ownSite();

const recipientsOf = ({ session }: TestMachine) => session.keys.recipients;
const says = (n: number) => (event: IncomingEvent) => JSON.stringify(event.content) === JSON.stringify({ n });
const read = (who: TestMachine, n: number) => who.events.some(says(n));

/** Sends a numbered event, which that machine must be able to read. */
async function sendTo(from: TestMachine, to: TestMachine, room_id: string, n: number): Promise<void> {
  expect(await send(from, request(room_id, { n }))).toMatchObject({ ok: true });
  await to.event(says(n));
}

const bootstrap = (...machines: TestMachine[]) =>
  Promise.all(machines.map(({ session }) => session.keys.crossSigning.bootstrap(null)));

/** Why this machine can't read what it was told that it gets no keys for. */
const reasons = ({ log }: TestMachine) =>
  log.flatMap(({ message, details }) =>
    message === "an event can't be decrypted yet" && "reason" in details ? [details.reason] : [],
  );
const [BLACKLISTED, UNVERIFIED] = ["MEGOLM_KEY_WITHHELD", "MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE"];

/** The encrypted events of a room, as the homeserver has them. */
async function wire(who: TestMachine, room_id: string): Promise<{ sender: string; session_id: string }[]> {
  const path = `/rooms/${encodeURIComponent(room_id)}/messages?dir=f&limit=100`;
  const { chunk } = (await site.api(who, "GET", path)) as {
    chunk: { type: string; sender: string; content: { session_id: string } }[];
  };
  return chunk
    .filter(({ type }) => type === "m.room.encrypted")
    .map(({ sender, content }) => ({ sender, session_id: content.session_id }));
}

test("once every device in a room is signed, one that is not gets no keys any more; an operator may decide otherwise", async () => {
  const account = await newUser(server);
  const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: true }, account);
  await sendTo(laptop, builder, room_id, 1);
  expect(recipientsOf(laptop).keysTo(room_id)).toBe("all");
  await bootstrap(laptop, builder);
  await eventually(() => recipientsOf(laptop).keysTo(room_id) === "signed");

  // As a homeserver adds it that wants to read along.
  const added = await site.machine(account);
  await added.session.ready();
  const { device_id } = added.credentials;
  await eventually(async () =>
    (await recipientsOf(laptop).without(room_id)).some((device) => device.device_id === device_id),
  );
  await sendTo(laptop, builder, room_id, 2);
  await eventually(() => reasons(added).includes(UNVERIFIED));
  expect(read(added, 2)).toBe(false);
  const { user_id } = builder.credentials;
  await expect(recipientsOf(laptop).requireReader(room_id, user_id)).resolves.toBeUndefined();

  await laptop.restart();
  expect(recipientsOf(laptop).keysTo(room_id)).toBe("signed");
  expect(await recipientsOf(laptop).set(room_id, "all")).toBe("all");
  await sendTo(laptop, added, room_id, 3);
  expect(await recipientsOf(laptop).set(room_id, "signed")).toBe("signed");
  await sendTo(laptop, builder, room_id, 4);
  expect(read(added, 4)).toBe(false);
});

test("a machine that is not signed itself cannot make a room one for signed devices", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: true });
  await expect(recipientsOf(laptop).set(room_id, "signed")).rejects.toMatchObject({
    code: "MX_UNSIGNED_DEVICE",
  });
  await bootstrap(laptop);
  const readable = () => recipientsOf(laptop).requireReader(room_id, builder.credentials.user_id);
  await expect(readable()).resolves.toBeUndefined();
  expect(await recipientsOf(laptop).set(room_id, "signed")).toBe("signed");
  await expect(readable()).rejects.toMatchObject({ code: "MX_UNREADABLE" });
  expect(await recipientsOf(laptop).set(room_id, "auto")).toBe("all");
});

test("what a machine sends that lost its signature waits until it has one again, and it says so", async () => {
  const account = await newUser(server);
  const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: true }, account);
  await bootstrap(laptop, builder);
  await eventually(() => recipientsOf(builder).keysTo(room_id) === "signed");
  const { recovery_key } = await builder.session.keys.recovery.enable(false);
  const { user, password } = account;
  const credentials = await login({
    ...{ fetch, homeserver: server.url, method: { kind: "password", user, password }, device_name: "again" },
  });
  await builder.restart({ credentials });
  const sent = send(builder, request(room_id, { n: 1 }));
  await eventually(() => recipientsOf(builder).waiting().includes(room_id));
  expect(builder.session.outbox.depth()).toBe(1);
  await builder.session.keys.recovery.recover(recovery_key);
  expect(await sent).toMatchObject({ ok: true });
  await laptop.event(says(1));
  expect(recipientsOf(builder).waiting()).toEqual([]);
});

test("a user whose key was revoked reads nothing that is sent from then on, on no device, new ones included", async () => {
  const account = await newUser(server);
  const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: true }, account);
  const revoked = new Set<string>();
  await laptop.restart({ revokedIn: () => revoked });
  await sendTo(laptop, builder, room_id, 1);
  revoked.add(builder.credentials.user_id);
  const another = await site.machine(account);
  await another.session.ready();
  await eventually(async () => (await recipientsOf(laptop).without(room_id)).length === 2);
  expect(await send(laptop, request(room_id, { n: 2 }))).toMatchObject({ ok: true });
  await eventually(() => builder.session.undecryptable() > 0 && another.session.undecryptable() > 0);
  expect(read(builder, 2) || read(another, 2)).toBe(false);
  // And they do not wait for keys: they were told that none will come.
  for (const device of [builder, another]) await eventually(() => reasons(device).includes(BLACKLISTED));
  expect((await recipientsOf(laptop).without(room_id)).map(({ why }) => why)).toEqual(["revoked", "revoked"]);
  revoked.clear();
  await sendTo(laptop, builder, room_id, 3);
});

test("a session encrypts as many messages as the room says, and a new room says so for machines", async () => {
  const encryption = (content: object) => ({ type: "m.room.encryption", state_key: "", content });
  const algorithm = "m.megolm.v1.aes-sha2";
  const initial_state = [encryption({ algorithm, rotation_period_msgs: 3 })];
  const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: false, initial_state });
  for (const n of [1, 2, 3, 4, 5, 6, 7]) await sendTo(laptop, builder, room_id, n);
  const sessions = (await wire(laptop, room_id)).map(({ session_id }) => session_id);
  expect(sessions).toHaveLength(7);
  expect(sessions.map((id) => sessions.indexOf(id))).toEqual([0, 0, 0, 3, 3, 3, 6]);

  const ours = await site.twoInARoom({ encrypted: true });
  expect(ours.laptop.session.rooms.stateEvent(ours.room_id, "m.room.encryption", "")?.content).toEqual({
    algorithm,
    rotation_period_ms: 86_400_000,
    rotation_period_msgs: 1_000,
  });
});

test("who is taken out of a room is no member any more, and reads nothing that follows", async () => {
  const { laptop, builder, room_id } = await site.twoInARoom({ encrypted: true });
  await sendTo(laptop, builder, room_id, 1);
  await laptop.session.remove(room_id, builder.credentials.user_id);
  await eventually(() => builder.session.rooms.get(room_id)?.membership === "leave");
  await eventually(() => !laptop.session.rooms.isJoined(room_id, builder.credentials.user_id));
  expect(await send(laptop, request(room_id, { n: 2 }))).toMatchObject({ ok: true });
  const [one, two] = await wire(laptop, room_id);
  expect(one?.session_id).not.toBe(two?.session_id);
  expect(read(builder, 2)).toBe(false);
});
