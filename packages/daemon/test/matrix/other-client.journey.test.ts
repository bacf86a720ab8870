import { VerificationPhase, type VerificationRequest } from "matrix-js-sdk/lib/crypto-api/verification.js";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import type { Comparison } from "../../src/matrix/keys/verification.ts";
import { newUser, plainRoom, request, type Site, send, siteOn, type TestMachine } from "./helpers.ts";
import { agree, type OtherClient, otherClient, reaches } from "./other-client.ts";

let server: TestHomeserver;
let site: Site;
const others: OtherClient[] = [];
beforeAll(async () => {
  server = await startHomeserverForTests();
  site = siteOn(server);
});
afterEach(async () => {
  for (const other of others.splice(0)) other.close();
  await site.closeMachines();
});
afterAll(() => server?.close());

/** Somebody who says yes to everything, and wrote down what was shown. */
function yes(): { shown: string[]; comparison: Comparison } {
  const shown: string[] = [];
  const comparison: Comparison = {
    signal: new AbortController().signal,
    onStage: async (stage) => {
      if (stage.type === "compare") shown.push(JSON.stringify([stage.emoji, stage.decimal]));
    },
    answer: async () => true,
  };
  return { shown, comparison };
}

/** A person with a client of another make, in an encrypted room with a machine. */
async function personAndMachine(): Promise<{ person: OtherClient; machine: TestMachine; room_id: string }> {
  const machine = await site.machine();
  const person = await otherClient(server.url, await newUser(server));
  others.push(person);
  await machine.session.ready();
  const room_id = await roomWith(person, machine, true);
  // Who encrypts for somebody has looked at his devices.
  await send(machine, request(room_id, {}));
  const knows = async () =>
    (await person.client.getCrypto()?.getUserDeviceInfo([machine.credentials.user_id]))
      ?.get(machine.credentials.user_id)
      ?.has(machine.credentials.device_id);
  await eventually(knows);
  return { person, machine, room_id };
}

async function roomWith(person: OtherClient, { session }: TestMachine, encrypted: boolean): Promise<string> {
  const room_id = await session.createRoom({ ...plainRoom, encrypted, invite: [person.user_id] });
  await eventually(() => person.client.getRoom(room_id));
  await person.client.joinRoom(room_id);
  await eventually(() => session.rooms.isJoined(room_id, person.user_id));
  return room_id;
}

test("a person with another client accepts what the machine began: both have verified each other", async () => {
  const { person, machine } = await personAndMachine();
  const { shown, comparison } = yes();
  const asked = person.request();
  const started = machine.session.keys.verifications.start(person.user_id, person.device_id, comparison);
  const request = await asked;
  await request.accept();
  await reaches(request, VerificationPhase.Started);
  const theirs = await agree(request.verifier ?? expect.fail("nothing was started"));
  await started;
  expect(shown).toEqual([theirs]);
  expect(await machine.session.keys.devices.find(person.user_id, person.device_id)).toMatchObject({
    verified: true,
  });
  const { user_id, device_id } = machine.credentials;
  await eventually(() => person.verified(user_id, device_id));
});

/** The machine accepts what a person began, who clicks nothing more: it goes on by itself, to the same on both screens. */
async function accepts(machine: TestMachine, person: OtherClient, request: VerificationRequest) {
  const { user_id, device_id } = machine.credentials;
  const { verifications } = machine.session.keys;
  const { shown, comparison } = yes();
  await eventually(() => verifications.pending().length === 1);
  const accepted = verifications.accept(person.user_id, null, comparison);
  await reaches(request, VerificationPhase.Started);
  const theirs = await agree(request.verifier ?? expect.fail("nothing was started"));
  expect(await accepted).toEqual({ user_id: person.user_id, device_id: person.device_id });
  expect(shown).toEqual([theirs]);
  await eventually(() => person.verified(user_id, device_id));
}

test("a person with another client begins, and waits for the machine, which accepts", async () => {
  const { person, machine } = await personAndMachine();
  const { user_id, device_id } = machine.credentials;
  const crypto = person.client.getCrypto() ?? expect.fail("no encryption");
  const request = await crypto.requestDeviceVerification(user_id, device_id);
  await accepts(machine, person, request);
  expect(machine.session.keys.verifications.pending()).toEqual([]);
});

/** Gives an account keys of its own, as other clients do at the first login. */
async function withIdentity(person: OtherClient, password: string): Promise<void> {
  const crypto = person.client.getCrypto() ?? expect.fail("no encryption");
  const identifier = { type: "m.id.user", user: person.user_id };
  await crypto.bootstrapCrossSigning({
    authUploadDeviceSigningKeys: async (request) => {
      await request({ type: "m.login.password", identifier, password });
    },
  });
}

test.each([true, false])(
  "a person asks for the machine's user in a chat, encrypted: %s; both have verified each other",
  async (encrypted) => {
    const { person, machine } = await personAndMachine();
    const room_id = await roomWith(person, machine, encrypted);
    const { user_id } = machine.credentials;
    await machine.session.keys.crossSigning.bootstrap(null);
    const crypto = person.client.getCrypto() ?? expect.fail("no encryption");
    await eventually(() => crypto.userHasCrossSigningKeys(user_id, true));
    await accepts(machine, person, await crypto.requestVerificationDM(user_id, room_id));
  },
);

test.each([true, false])(
  "the machine asks for a person in a chat, encrypted: %s, and verifies the device that accepts",
  async (encrypted) => {
    const { person, machine } = await personAndMachine();
    const room_id = await roomWith(person, machine, encrypted);
    const { shown, comparison } = yes();
    const { verifications, devices } = machine.session.keys;
    await expect(verifications.startInRoom(person.user_id, room_id, comparison)).rejects.toMatchObject({
      code: "MX_BAD_INPUT",
    });
    await withIdentity(person, person.password);
    const asked = person.request();
    const started = verifications.startInRoom(person.user_id, room_id, comparison);
    const request = await asked;
    await request.accept();
    await reaches(request, VerificationPhase.Started);
    const theirs = await agree(request.verifier ?? expect.fail("nothing was started"));
    expect(await started).toEqual({ user_id: person.user_id, device_id: person.device_id });
    expect(shown).toEqual([theirs]);
    expect(await devices.find(person.user_id, person.device_id)).toMatchObject({ verified: true });
  },
);

test("nothing of a verification in an encrypted chat goes over the wire plain", async () => {
  const { person, machine, room_id } = await personAndMachine();
  await withIdentity(person, person.password);
  const asked = person.request();
  const started = machine.session.keys.verifications.startInRoom(person.user_id, room_id, yes().comparison);
  await (await asked).cancel();
  await expect(started).rejects.toMatchObject({ code: "MX_NOT_VERIFIED" });
  const { chunk } = await site.api(machine, "GET", `/rooms/${encodeURIComponent(room_id)}/messages?dir=b`);
  const ours = (Array.isArray(chunk) ? chunk : []).filter(
    (event) => event.sender === machine.credentials.user_id && event.state_key === undefined,
  );
  expect(ours.length).toBeGreaterThan(0);
  expect(new Set(ours.map(({ type }) => type))).toEqual(new Set(["m.room.encrypted"]));
});
