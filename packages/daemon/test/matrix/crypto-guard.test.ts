import { createClient } from "matrix-js-sdk/lib/matrix.js";
import { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import pino from "pino";
import { expect, test } from "vitest";
import { CryptoGuard } from "../../src/matrix/crypto-guard.ts";
import { sdkLogger, silenceSdkConsole } from "../../src/matrix/sdk-logger.ts";

type Changes = Parameters<RustCrypto["processSyncChanges"]>[0];

const quiet = {
  toDeviceEvents: [],
  deviceLists: { changed: [], left: [] },
  oneTimeKeysCounts: { signed_curve25519: 50 },
  unusedFallbackKeys: ["signed_curve25519"],
} satisfies Changes;

/** A guarded encryption without a homeserver. */
async function guarded() {
  const logger = pino({ level: "silent" });
  silenceSdkConsole();
  const client = createClient({
    ...{ baseUrl: "http://127.0.0.1:1", userId: "@a:example.org", deviceId: "A", accessToken: "none" },
    logger: sdkLogger(logger),
  });
  await client.initRustCrypto({ useIndexedDB: false });
  const crypto = client.getCrypto();
  if (!(crypto instanceof RustCrypto)) throw new Error("the SDK has another encryption");
  let failing = false;
  let disk = Promise.resolve();
  const asked = Promise.withResolvers<void>();
  const store = {
    together: <T>(work: () => Promise<T>) => (failing ? Promise.reject(new Error("no")) : work()),
    durable: () => {
      asked.resolve();
      return disk;
    },
  };
  const guard = new CryptoGuard(crypto, store, logger);
  return {
    guard,
    tell: (changes: Changes) => crypto.processSyncChanges(changes),
    /** From here on the disk is not through before that; resolves when somebody waits for it. */
    disk: (through: Promise<void>): Promise<void> => {
      disk = through;
      return asked.promise;
    },
    fail: (fails: boolean) => {
      failing = fails;
    },
    [Symbol.dispose]: () => client.stopClient(),
  };
}

test("what the encryption failed at is told once, so that the same sync is asked for again", async () => {
  using it = await guarded();
  it.fail(true);
  await expect(it.tell(quiet)).rejects.toThrow("no");
  expect(it.guard.takeFailure()).toBe("no");
  it.fail(false);
  await it.tell(quiet);
  expect(it.guard.takeFailure()).toBeUndefined();
});

test.each<[string, Changes]>([
  ["a message to this device", { ...quiet, toDeviceEvents: [{ type: "m.x", sender: "@b:x", content: {} }] }],
  ["a device that is new", { ...quiet, deviceLists: { changed: ["@b:x"], left: [] } }],
  ["somebody who left", { ...quiet, deviceLists: { changed: [], left: ["@b:x"] } }],
])("%s is on the disk before the sync goes on, and so before its position moves", async (_, changes) => {
  using it = await guarded();
  const disk = Promise.withResolvers<void>();
  const order: string[] = [];
  const asked = it.disk(disk.promise);
  const told = it.tell(changes).then(() => order.push("told"));
  await asked;
  order.push("asked");
  disk.resolve();
  await told;
  expect(order).toEqual(["asked", "told"]);
});
