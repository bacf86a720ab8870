import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { KeyServer, OlmDevice } from "./olm-devices.ts";
import { temporaryDirectory } from "./support.ts";

const room = "!room:example.org";

test("devices that are killed keep their identity, their sessions, and what they can decrypt", async () => {
  const { server, alice, bob } = await twoDevices();
  const identities = await Promise.all([alice.call("identity"), bob.call("identity")]);
  await shareKey(server, alice, bob);
  const first = await say(alice, "before");
  await server.sync(bob);
  await expect(hears(bob, alice, first)).resolves.toBe("before");

  await Promise.all([alice.kill(), bob.kill()]);
  await Promise.all([alice.restart(), bob.restart()]);

  expect(await Promise.all([alice.call("identity"), bob.call("identity")])).toEqual(identities);
  await expect(hears(bob, alice, first)).resolves.toBe("before");
  const second = await say(alice, "after");
  await expect(hears(bob, alice, second)).resolves.toBe("after");
  expect(await alice.call("missing", bob.user)).toBeNull();

  await server.pump(bob);
  await bob.call("track", alice.user);
  await server.pump(bob);
  await shareKey(server, bob, alice);
  await server.sync(alice);
  await expect(hears(alice, bob, await say(bob, "and back"))).resolves.toBe("and back");
});

test("the files of a device tell neither its keys nor whom it talks to", async () => {
  const root = temporaryDirectory();
  const { server, alice, bob } = await twoDevices(root);
  await shareKey(server, alice, bob);
  await say(alice, "the eagle has landed");
  await alice.kill();
  const files = readdirSync(join(root, "alice")).map((name) => readFileSync(join(root, "alice", name)));
  const bytes = Buffer.concat(files);
  expect(bytes.length).toBeGreaterThan(10_000);
  for (const text of [room, bob.user, alice.user, "megolm", "ed25519", "eagle"]) {
    expect(bytes.includes(text), text).toBe(false);
    expect(bytes.includes(Buffer.from(text, "utf16le")), text).toBe(false);
  }
});

test("a device killed when its keys have just left can use every key that the server has", async () => {
  const root = temporaryDirectory();
  const server = new KeyServer();
  const [alice, bob] = await Promise.all([OlmDevice.start(root, "alice"), OlmDevice.start(root, "bob")]);
  // Bob never gets the answer to his upload.
  for (const request of await bob.call("outgoing")) server.receive(bob, request);
  await bob.kill();
  await bob.restart();

  await server.pump(alice);
  await alice.call("track", bob.user);
  await server.pump(alice);
  await shareKey(server, alice, bob);
  const event = await say(alice, "with a key that nobody confirmed");
  await server.sync(bob);
  await expect(hears(bob, alice, event)).resolves.toBe("with a key that nobody confirmed");
  // He sends the same keys again, or new ones; none under an old name.
  await server.pump(bob);
});

async function twoDevices(root = temporaryDirectory()) {
  const server = new KeyServer();
  const [alice, bob] = await Promise.all([OlmDevice.start(root, "alice"), OlmDevice.start(root, "bob")]);
  await Promise.all([server.pump(alice), server.pump(bob)]);
  await alice.call("track", bob.user);
  await server.pump(alice);
  return { server, alice, bob };
}

async function shareKey(server: KeyServer, from: OlmDevice, to: OlmDevice): Promise<void> {
  const claim = await from.call("missing", to.user);
  if (claim) await server.answer(from, claim);
  for (const request of await from.call("share", room, to.user)) await server.answer(from, request);
}

async function say(from: OlmDevice, body: string): Promise<string> {
  return from.call("encrypt", room, JSON.stringify({ msgtype: "m.text", body }));
}

let events = 0;
async function hears(to: OlmDevice, from: OlmDevice, content: string): Promise<unknown> {
  const event = {
    type: "m.room.encrypted",
    event_id: `$event${++events}`,
    room_id: room,
    sender: from.user,
    origin_server_ts: 1_700_000_000_000,
    content: JSON.parse(content),
  };
  return (await to.call("decrypt", JSON.stringify(event), room)).content.body;
}
