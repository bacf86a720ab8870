import {
  ClientEvent,
  createClient,
  EventType,
  type MatrixClient,
  type MatrixEvent,
  MatrixEventEvent,
  MemoryStore,
  MsgType,
  SyncState,
} from "matrix-js-sdk";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { quiet } from "./support/quiet.ts";
import { testServer } from "./support/server.ts";
import { Witness } from "./support/witness.ts";

let server: Homeserver;
const clients: MatrixClient[] = [];
const witness = new Witness();

beforeAll(async () => {
  server = await testServer();
});
afterAll(async () => {
  for (const client of clients) client.stopClient();
  await server.close();
  witness.expectRight(100);
});

/** A client of the real library, signed in and synced; with keys of its own where `encrypted`. */
async function signedIn(name: string, encrypted = false): Promise<MatrixClient> {
  const options = { baseUrl: server.url, fetchFn: witness.fetch, logger: quiet };
  const login = await createClient(options).loginWithPassword(name, "secret");
  const client = createClient({
    ...options,
    userId: login.user_id,
    deviceId: login.device_id,
    accessToken: login.access_token,
    store: new MemoryStore(),
  });
  clients.push(client);
  if (encrypted) await client.initRustCrypto({ useIndexedDB: false });
  const prepared = new Promise<void>((resolve) => {
    client.on(ClientEvent.Sync, (state) => {
      if (state === SyncState.Prepared) resolve();
    });
  });
  await client.startClient({ initialSyncLimit: 20 });
  await prepared;
  return client;
}

/** Resolves with the content of the first event of a type that this client can read. */
function hears(client: MatrixClient, type: string): Promise<Record<string, unknown>> {
  return new Promise((resolve) => {
    const look = (event: MatrixEvent) => {
      if (event.getType() === type && !event.isDecryptionFailure()) resolve(event.getContent());
    };
    client.on(ClientEvent.Event, (event) => {
      look(event);
      if (event.isEncrypted()) void client.decryptEventIfNeeded(event);
    });
    client.on(MatrixEventEvent.Decrypted, look);
  });
}

it("the client library signs in, syncs, and hears what another user says", async () => {
  await Promise.all([server.addUser("alice", "secret"), server.addUser("bob", "secret")]);
  const [alice, bob] = await Promise.all([signedIn("alice"), signedIn("bob")]);
  const { room_id: roomId } = await alice.createRoom({ invite: [bob.getSafeUserId()], name: "demo" });
  await bob.joinRoom(roomId);
  const heard = hears(bob, "m.room.message");
  await alice.sendMessage(roomId, { msgtype: MsgType.Text, body: "hello" });
  expect(await heard).toMatchObject({ body: "hello" });
});

it("two people and their devices talk in an encrypted room, and the server reads none of it", async () => {
  await Promise.all([server.addUser("carol", "secret"), server.addUser("dave", "secret")]);
  const [carol, dave, phone] = await Promise.all([
    signedIn("carol", true),
    signedIn("dave", true),
    signedIn("dave", true),
  ]);
  const { room_id: roomId } = await carol.createRoom({
    invite: [dave.getSafeUserId()],
    initial_state: [
      { type: EventType.RoomEncryption, state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
    ],
  });
  await dave.joinRoom(roomId);
  await expect.poll(() => carol.getRoom(roomId)?.getJoinedMemberCount(), { timeout: 10_000 }).toBe(2);
  await expect
    .poll(() => carol.getCrypto()?.isEncryptionEnabledInRoom(roomId), { timeout: 10_000 })
    .toBe(true);
  const heard = Promise.all([dave, phone].map((client) => hears(client, "m.room.message")));
  const { event_id: eventId } = await carol.sendMessage(roomId, {
    msgtype: MsgType.Text,
    body: "only for us",
  });
  for (const content of await heard) expect(content).toMatchObject({ body: "only for us" });
  const stored = await carol.http.authedRequest("GET" as never, `/rooms/${roomId}/event/${eventId}`);
  expect(stored).toMatchObject({ type: "m.room.encrypted" });
  expect(JSON.stringify(stored)).not.toContain("only for us");

  const reply = hears(carol, "com.mxagent.exec.finished.v1");
  await expect.poll(() => phone.getRoom(roomId)?.getJoinedMemberCount(), { timeout: 10_000 }).toBe(2);
  await phone.sendEvent(roomId, "com.mxagent.exec.finished.v1" as never, { exit_code: 0 } as never);
  expect(await reply).toMatchObject({ exit_code: 0 });
});

it("the client library waits with what a full queue refuses, and sends it when the device has fetched the rest", async () => {
  await Promise.all([server.addUser("frank", "secret"), server.addUser("grace", "secret")]);
  const frank = await signedIn("frank");
  const options = { baseUrl: server.url, fetchFn: witness.fetch, logger: quiet };
  const away = await createClient(options).loginWithPassword("grace", "secret");
  const to = (content: object) => new Map([[away.user_id, new Map([[away.device_id, content]])]]);
  const fill = () => frank.sendToDevice("com.example", to({ pad: "x".repeat(65_000) }));
  let sent = 0;
  const refusal = (async () => {
    for (; sent < 1_000; sent++) await fill();
  })();
  await expect(refusal).rejects.toMatchObject({ httpStatus: 429, errcode: "M_LIMIT_EXCEEDED" });
  const content = { at: "last", pad: "x".repeat(65_000) };
  const batch = [{ userId: away.user_id, deviceId: away.device_id, payload: content }];
  await frank.queueToDevice({ eventType: "com.example.last", batch });
  // It has been tried, and refused like the others.
  await expect(fill()).rejects.toMatchObject({ errcode: "M_LIMIT_EXCEEDED" });
  const grace = createClient({
    ...options,
    userId: away.user_id,
    deviceId: away.device_id,
    accessToken: away.access_token,
    store: new MemoryStore(),
  });
  clients.push(grace);
  let came = 0;
  const last = new Promise((resolve) => {
    grace.on(ClientEvent.ToDeviceEvent, (event) => {
      if (event.getType() === "com.example") came += 1;
      else resolve(event.getContent());
    });
  });
  await grace.startClient();
  expect(await last).toEqual(content);
  expect(came).toBe(sent);
});

it("cross-signing and a key backup are set up, and a new device sees both", async () => {
  await server.addUser("erin", "secret");
  const erin = await signedIn("erin", true);
  const crypto = erin.getCrypto();
  await crypto?.bootstrapCrossSigning({
    authUploadDeviceSigningKeys: async (makeRequest) => {
      await makeRequest(null);
    },
  });
  await crypto?.resetKeyBackup();
  expect(await crypto?.getActiveSessionBackupVersion()).toBe("1");
  const phone = await signedIn("erin", true);
  expect(await phone.getCrypto()?.userHasCrossSigningKeys(erin.getSafeUserId(), true)).toBe(true);
  expect(await phone.getCrypto()?.getKeyBackupInfo()).toMatchObject({ version: "1" });
  const status = await phone
    .getCrypto()
    ?.getDeviceVerificationStatus(erin.getSafeUserId(), erin.getDeviceId() ?? "");
  expect(status?.signedByOwner).toBe(true);
});
