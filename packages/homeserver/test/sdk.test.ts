import { ClientEvent, createClient, type MatrixClient, MemoryStore, SyncState } from "matrix-js-sdk";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Homeserver } from "../src/index.ts";
import { testServer } from "./support/server.ts";

let server: Homeserver;
const clients: MatrixClient[] = [];

beforeAll(async () => {
  server = await testServer();
});

afterAll(async () => {
  for (const client of clients) client.stopClient();
  await server.close();
});

async function signedIn(name: string): Promise<MatrixClient> {
  await server.addUser(name, "secret");
  const login = await createClient({ baseUrl: server.url }).loginWithPassword(name, "secret");
  const client = createClient({
    baseUrl: server.url,
    userId: login.user_id,
    deviceId: login.device_id,
    accessToken: login.access_token,
    store: new MemoryStore(),
  });
  clients.push(client);
  await client.startClient({ initialSyncLimit: 20 });
  await prepared(client);
  return client;
}

function prepared(client: MatrixClient): Promise<void> {
  return new Promise((resolve) => {
    if (client.getSyncState() === SyncState.Prepared) resolve();
    client.on(ClientEvent.Sync, (state) => {
      if (state === SyncState.Prepared) resolve();
    });
  });
}

it("the client library signs in, syncs, and hears what another user says", async () => {
  const alice = await signedIn("alice");
  const bob = await signedIn("bob");
  const { room_id: roomId } = await alice.createRoom({ invite: [bob.getSafeUserId()], name: "demo" });
  await bob.joinRoom(roomId);
  const heard = new Promise<string>((resolve) => {
    bob.on(ClientEvent.Event, (event) => {
      if (event.getType() === "com.mxagent.exec.request.v1") resolve(event.getContent().invocation_id);
    });
  });
  await alice.http.authedRequest(
    "PUT" as never,
    `/rooms/${encodeURIComponent(roomId)}/send/com.mxagent.exec.request.v1/t1`,
    undefined,
    { invocation_id: "inv_1" },
  );
  expect(await heard).toBe("inv_1");
});
