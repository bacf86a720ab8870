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

const { deviceLists: _, ...withoutDevices } = quiet;

/** A guarded encryption without a homeserver; `tell` answers whether what came reached it. */
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
  let reached = 0;
  let failing = false;
  let now = 0;
  let disk = Promise.resolve();
  const asked = Promise.withResolvers<void>();
  const store = {
    together: <T>(work: () => Promise<T>) => {
      reached++;
      return failing ? Promise.reject(new Error("no")) : work();
    },
    durable: () => {
      asked.resolve();
      return disk;
    },
  };
  const guard = new CryptoGuard(crypto, store, logger, () => now);
  return {
    guard,
    async tell(changes: Changes): Promise<boolean> {
      const before = reached;
      await crypto.processSyncChanges(changes).catch(() => undefined);
      return reached > before;
    },
    /** From here on the disk is not through before that; resolves when somebody waits for it. */
    disk: (through: Promise<void>): Promise<void> => {
      disk = through;
      return asked.promise;
    },
    fail: (fails: boolean) => {
      failing = fails;
    },
    pass: (ms: number) => {
      now += ms;
    },
    [Symbol.dispose]: () => client.stopClient(),
  };
}

test("a sync that brings no keys, devices or messages does not wait for the encryption", async () => {
  using it = await guarded();
  expect(await it.tell(quiet)).toBe(true);
  expect(await it.tell(quiet)).toBe(false);
  expect(await it.tell(withoutDevices)).toBe(false);
});

const news: [string, Changes][] = [
  ["a message to this device", { ...quiet, toDeviceEvents: [{ type: "m.x", sender: "@b:x", content: {} }] }],
  ["a device that is new", { ...quiet, deviceLists: { changed: ["@b:x"], left: [] } }],
  ["somebody who left", { ...quiet, deviceLists: { changed: [], left: ["@b:x"] } }],
  ["a one-time key that was claimed", { ...quiet, oneTimeKeysCounts: { signed_curve25519: 49 } }],
  ["no one-time keys at all", { ...quiet, oneTimeKeysCounts: {} }],
  ["a fallback key that was used", { ...quiet, unusedFallbackKeys: [] }],
];

test.each(news)("%s reaches the encryption at once, and so does what was before", async (_, changes) => {
  using it = await guarded();
  await it.tell(quiet);
  expect(await it.tell(changes)).toBe(true);
  await it.tell(quiet);
  expect(await it.tell(quiet)).toBe(false);
});

test("what was old news ten seconds ago is told again: the encryption looks at its clock then", async () => {
  using it = await guarded();
  await it.tell(quiet);
  it.pass(9_999);
  expect(await it.tell(quiet)).toBe(false);
  it.pass(1);
  expect(await it.tell(quiet)).toBe(true);
});

test("what the encryption failed at reaches it when it is asked for again", async () => {
  using it = await guarded();
  await it.tell(quiet);
  it.pass(10_000);
  it.fail(true);
  expect(await it.tell(quiet)).toBe(true);
  expect(it.guard.takeFailure()).toBe("no");
  it.fail(false);
  expect(await it.tell(quiet)).toBe(true);
  expect(it.guard.takeFailure()).toBeUndefined();
});

test.each(news.slice(0, 3))(
  "%s is on the disk before the sync goes on, and so before its position moves",
  async (_, changes) => {
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
  },
);
