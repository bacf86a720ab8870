import { join } from "node:path";
import { createClient, type MatrixClient } from "matrix-js-sdk";
import { expect, onTestFinished, test } from "vitest";
import { type DurableIndexedDB, storageKey } from "../../src/matrix/crypto-store/index.ts";
import { openStore, temporaryDirectory } from "./support.ts";

const cryptoDatabasePrefix = "mx-agent";

test("a client of the SDK is the same device after a restart, and only with its storage key", async () => {
  const directory = temporaryDirectory();
  const key = storageKey(join(directory, "crypto.key"));
  const file = join(directory, "crypto.db");

  const first = await openStore(file);
  const before = await started(first, key);
  const identity = await before.getCrypto()?.getOwnDeviceKeys();
  expect(identity?.ed25519).toHaveLength(43);
  await stopped(before, first);

  const second = await openStore(file, { missing: "refuse" });
  const after = await started(second, key);
  expect(await after.getCrypto()?.getOwnDeviceKeys()).toEqual(identity);
  await stopped(after, second);

  const third = await openStore(file, { missing: "refuse" });
  await expect(started(third, storageKey(join(directory, "other.key")))).rejects.toThrow(/decrypt/i);
  await third.close();
});

test("a client that clears its stores leaves none of its databases in the file", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const first = await openStore(file);
  const client = await started(first, new Uint8Array(32));
  client.stopClient();
  await client.clearStores({ cryptoDatabasePrefix });
  await first.close();
  expect(await (await openStore(file)).indexedDB.databases()).toEqual([]);
});

async function started(store: DurableIndexedDB, key: Uint8Array): Promise<MatrixClient> {
  Object.assign(globalThis, store.globals);
  const client = createClient({
    baseUrl: "http://homeserver.invalid",
    userId: "@alice:example.org",
    deviceId: "DEVICE",
    accessToken: "token",
    // Nothing is sent but a question for a key backup, and there is none.
    fetchFn: async () => Response.json({ errcode: "M_NOT_FOUND" }, { status: 404 }),
    logger: silent,
  });
  onTestFinished(() => client.stopClient());
  await client.initRustCrypto({ storageKey: key, cryptoDatabasePrefix });
  return client;
}

async function stopped(client: MatrixClient, store: DurableIndexedDB): Promise<void> {
  client.stopClient();
  await store.close();
}

const nothing = () => {};
const silent = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  getChild: () => silent,
};
