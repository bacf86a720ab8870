import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import { expect, test } from "vitest";
import { onlyNews } from "../../src/matrix/crypto-news.ts";

type SyncChanges = Parameters<RustCrypto["processSyncChanges"]>[0];
type Message = SyncChanges["toDeviceEvents"][number];

/** A crypto machine that says what it was given, and its clock. */
function machine() {
  const given: SyncChanges[] = [];
  const clock = { now: 0 };
  const crypto = {
    processSyncChanges: async (changes: SyncChanges) => {
      given.push(changes);
      return changes.toDeviceEvents.map((message) => ({ message, encryptionInfo: null }));
    },
  };
  onlyNews(crypto as unknown as RustCrypto, () => clock.now);
  const sync = (toDeviceEvents: Message[] = [], news: Partial<SyncChanges> = {}) =>
    crypto.processSyncChanges({
      toDeviceEvents,
      oneTimeKeysCounts: { signed_curve25519: 50 },
      unusedFallbackKeys: ["signed_curve25519"],
      ...news,
    });
  return { crypto, given, clock, sync };
}

const chunk = (seq: number): Message => ({
  type: "com.mxagent.stream.chunk.v1",
  sender: "@builder:example.org",
  content: { seq },
});
const olm: Message = { type: "m.room.encrypted", sender: "@builder:example.org", content: {} };

test("plain stream messages arrive in order, without a way through the crypto machine", async () => {
  const { given, sync } = machine();
  await sync();
  const received = await sync([chunk(0), chunk(1), chunk(2)]);
  expect(received).toEqual([0, 1, 2].map((seq) => ({ message: chunk(seq), encryptionInfo: null })));
  expect(given).toHaveLength(1);
});

test("what is encrypted, of another type or malformed is the crypto machine's", async () => {
  const { given, sync } = machine();
  const others = [olm, { ...chunk(1), type: "m.room_key" }, { ...chunk(1), content: null as never }];
  await sync([chunk(0), ...others]);
  expect(given.map(({ toDeviceEvents }) => toDeviceEvents)).toEqual([others]);
});

test.each<Partial<SyncChanges>>([
  { oneTimeKeysCounts: { signed_curve25519: 49 } },
  { oneTimeKeysCounts: {} },
  { unusedFallbackKeys: [] },
  { deviceLists: { changed: ["@alice:example.org"] } },
  { deviceLists: { left: ["@alice:example.org"] } },
])("the crypto machine hears %j at once", async (news) => {
  const { given, sync } = machine();
  await sync();
  await sync();
  expect(given).toHaveLength(1);
  await sync([], news);
  expect(given).toHaveLength(2);
});

test("the crypto machine has its turn every ten seconds, whatever comes", async () => {
  const { given, clock, sync } = machine();
  await sync();
  clock.now = 9_999;
  await sync();
  expect(given).toHaveLength(1);
  clock.now = 10_000;
  await sync();
  expect(given).toHaveLength(2);
});

test("what the crypto machine failed at is given to it again", async () => {
  const { crypto, given, sync } = machine();
  await sync();
  given.push = () => {
    throw new Error("no room");
  };
  await expect(sync([olm])).rejects.toThrow("no room");
  Reflect.deleteProperty(given, "push");
  await crypto.processSyncChanges({
    toDeviceEvents: [],
    oneTimeKeysCounts: { signed_curve25519: 50 },
    unusedFallbackKeys: ["signed_curve25519"],
  });
  expect(given).toHaveLength(2);
});
