import { ClientEvent, createClient, MsgType, SyncState } from "matrix-js-sdk";
import { expect, it } from "vitest";
import type { App } from "../src/app.ts";
import { Router } from "../src/http/router.ts";
import { allRoutes } from "../src/routes.ts";
import { listed, recorder, refused } from "./support/coverage.ts";
import { quiet } from "./support/quiet.ts";
import { testServer } from "./support/server.ts";
import { Witness } from "./support/witness.ts";

const routes = () => Router.list(allRoutes({} as App));

it("everything on the coverage list is answered, and nothing else is", () => {
  const answered = listed().filter((call) => !refused.has(call));
  expect(routes().sort()).toEqual([...new Set(answered)].sort());
  expect(routes().filter((call) => refused.has(call))).toEqual([]);
});

it("a session of the client library calls nothing that is not on the coverage list", async () => {
  const seen = new Set<string>();
  const witness = new Witness();
  const server = await testServer({ logger: recorder(seen) });
  const options = { baseUrl: server.url, fetchFn: witness.fetch, logger: quiet };
  await Promise.all([server.addUser("alice", "secret"), server.addUser("bob", "secret")]);
  const login = async (name: string) => {
    const answer = await createClient(options).loginWithPassword(name, "secret");
    const client = createClient({
      ...options,
      userId: answer.user_id,
      deviceId: answer.device_id,
      accessToken: answer.access_token,
    });
    await client.initRustCrypto({ useIndexedDB: false });
    const prepared = new Promise<void>((resolve) => {
      client.on(ClientEvent.Sync, (state) => {
        if (state === SyncState.Prepared) resolve();
      });
    });
    await client.startClient({ lazyLoadMembers: true });
    await prepared;
    return client;
  };
  const [alice, bob] = await Promise.all([login("alice"), login("bob")]);
  try {
    await alice.getCrypto()?.bootstrapCrossSigning({
      authUploadDeviceSigningKeys: async (makeRequest) => {
        await makeRequest(null);
      },
    });
    await alice.getCrypto()?.resetKeyBackup();
    await alice.setDisplayName("Alice");
    const { room_id: room } = await alice.createRoom({ room_alias_name: "demo", invite: ["@bob:localhost"] });
    await bob.joinRoom("#demo:localhost");
    const { event_id: event } = await bob.sendMessage(room, { msgtype: MsgType.Text, body: "hello" });
    await expect.poll(() => alice.getRoom(room)?.findEventById(event)).toBeDefined();
    const heard = alice.getRoom(room)?.findEventById(event);
    if (heard != null) await alice.sendReadReceipt(heard);
    await alice.setRoomReadMarkersHttpRequest(room, event, event);
    await alice.sendTyping(room, true, 1_000);
    await alice.relations(room, event, null, null);
    await alice.fetchRoomEvent(room, event);
    await alice.redactEvent(room, (await alice.sendTextMessage(room, "oops")).event_id);
    await alice.setRoomTopic(room, "testing");
    await alice.setAccountData("com.example.data" as never, { a: 1 } as never);
    await alice.setRoomTag(room, "m.favourite", { order: 0.5 });
    const { content_uri: uri } = await alice.uploadContent(new Blob(["bytes"]), { type: "text/plain" });
    expect(uri).toMatch(/^mxc:\/\/localhost\//);
    await alice.publicRooms({ limit: 10 });
    await alice.searchUserDirectory({ term: "bob" });
    await alice.getDevices();
    await alice.getRoomIdForAlias("#demo:localhost");
    await alice.kick(room, "@bob:localhost", "bye");
    await alice.ban(room, "@bob:localhost");
    await alice.unban(room, "@bob:localhost");
    await alice.leave(room);
    await alice.forget(room);
    await bob.logout(true);
  } finally {
    alice.stopClient();
    bob.stopClient();
    await server.close();
  }
  expect([...seen].filter((call) => !listed("sdk").includes(call) && !refused.has(call)).sort()).toEqual([]);
  expect(seen.size).toBeGreaterThan(30);
  witness.expectRight(seen.size);
});
