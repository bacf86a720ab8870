import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStoreFile } from "../../src/matrix/crypto-store/store-file.ts";
import {
  answered,
  completed,
  contents,
  openDatabase,
  openStore,
  temporaryDirectory,
  write,
} from "./support.ts";

const sample = {
  text: "a \ud800 lone surrogate, and \u0000",
  bytes: new Uint8Array([0, 1, 255]),
  buffer: new Uint8Array([7, 8]).buffer,
  nested: [{ map: new Map<unknown, unknown>([["when", new Date(1_700_000_000_000)]]) }, new Set([1n])],
  missing: undefined,
};

test("what was stored is there after a restart, with keys, values and indexes as they were", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const first = await openStore(file);
  const database = await openDatabase(first.indexedDB, "matrix-js-sdk::matrix-sdk-crypto", 3, (fresh) => {
    fresh.createObjectStore("core");
    fresh.createObjectStore("sessions", { keyPath: "id" }).createIndex("by_room", "room");
    fresh.createObjectStore("queue", { autoIncrement: true });
  });
  await write(database, ["core", "sessions", "queue"], (transaction) => {
    transaction.objectStore("core").put(sample, ["room", new Uint8Array([1]), 5]);
    transaction.objectStore("sessions").put({ id: "a", room: "!x" });
    transaction.objectStore("sessions").put({ id: "b", room: "!x" });
    transaction.objectStore("queue").add("one");
  });
  const before = await contents(first.indexedDB);
  await first.close();

  const second = await openStore(file, { missing: "refuse" });
  expect(await contents(second.indexedDB)).toEqual(before);
  const again = await openDatabase(second.indexedDB, "matrix-js-sdk::matrix-sdk-crypto");
  expect(again.version).toBe(3);
  const reading = again.transaction(["core", "sessions"]);
  expect(await answered(reading.objectStore("core").get(["room", new Uint8Array([1]), 5]))).toEqual(sample);
  const inRoom = reading.objectStore("sessions").index("by_room").getAllKeys("!x");
  expect(await answered(inRoom)).toEqual(["a", "b"]);
  const writing = again.transaction("queue", "readwrite").objectStore("queue");
  expect(await answered(writing.add("two"))).toBe(2);
});

test("a transaction that was aborted leaves nothing, one that only read is not worth a commit", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const store = await openStore(file);
  const database = await openDatabase(store.indexedDB, "keys", 1, (fresh) => {
    fresh.createObjectStore("core");
  });
  const { commits } = store.stats();
  const aborted = database.transaction("core", "readwrite");
  const request = aborted.objectStore("core").put(1, "a");
  request.addEventListener("success", () => aborted.abort());
  await expect(completed(aborted)).rejects.toThrow();
  await answered(database.transaction("core", "readwrite").objectStore("core").get("a"));
  await write(database, "core", () => {});
  expect(store.stats()).toEqual({ commits, writes: 0, running: 0 });
  await store.close();

  const again = await openDatabase((await openStore(file)).indexedDB, "keys");
  expect(await answered(again.transaction("core").objectStore("core").count())).toBe(0);
});

test("a change is on disk before the first listener of its complete event hears of it", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const store = await openStore(file);
  const database = await openDatabase(store.indexedDB, "keys", 1, (fresh, upgrade) => {
    fresh.createObjectStore("core");
    upgrade.addEventListener("complete", () => expect(store.stats().commits).toBe(1));
  });
  const transaction = database.transaction("core", "readwrite");
  const heard = new Promise<Buffer>((resolve) => {
    transaction.addEventListener("complete", () => resolve(readFileSync(`${file}-wal`)));
  });
  transaction.objectStore("core").put("one-time key 4711", "a");
  expect((await heard).includes("one-time key 4711")).toBe(true);
});

test("a commit waits until the disk has it, and the log does not grow without end", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const db = openStoreFile({ file, version: "0.1.0", missing: "create" });
  expect(db.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  expect(db.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
  db.close();
  const store = await openStore(file);
  const database = await openDatabase(store.indexedDB, "keys", 1, (fresh) => {
    fresh.createObjectStore("core");
  });
  for (let i = 0; i < 100; i++)
    await write(database, "core", (transaction) => {
      transaction.objectStore("core").put(new Uint8Array(100_000).fill(i), "a");
    });
  expect(statSync(`${file}-wal`).size).toBeLessThan(6 * 2 ** 20);
});

test("closing waits for what runs, and nothing new is taken", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const store = await openStore(file);
  const database = await openDatabase(store.indexedDB, "keys", 1, (fresh) => {
    fresh.createObjectStore("core");
  });
  const late = store.indexedDB.open("another", 1);
  const done = write(database, "core", (transaction) => {
    const request = transaction.objectStore("core").put(1, "a");
    request.addEventListener("success", () => transaction.objectStore("core").put(2, "b"));
  });
  const closed = store.close();
  expect(() => database.transaction("core", "readwrite")).toThrow(/is closed/);
  expect(() => store.indexedDB.open("keys")).toThrow(/is closed/);
  await expect(answered(late)).rejects.toThrow();
  await Promise.all([done, closed]);
  expect(existsSync(`${file}-wal`)).toBe(false);

  const again = await openDatabase((await openStore(file)).indexedDB, "keys");
  expect(await answered(again.transaction("core").objectStore("core").getAll())).toEqual([1, 2]);
});

test("a deleted database is gone, and one of its name that comes later starts empty", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const store = await openStore(file);
  const setUp = () =>
    openDatabase(store.indexedDB, "keys", 1, (fresh) => {
      fresh.createObjectStore("core").put("value", "a");
    });
  (await setUp()).close();
  await answered(store.indexedDB.deleteDatabase("keys"));
  expect(await store.indexedDB.databases()).toEqual([]);
  const database = await setUp();
  await write(database, "core", (transaction) => transaction.objectStore("core").clear());
  await store.close();

  const { indexedDB } = await openStore(file);
  const again = await openDatabase(indexedDB, "keys");
  expect(await answered(again.transaction("core").objectStore("core").count())).toBe(0);
  again.close();
  await answered(indexedDB.deleteDatabase("keys"));
  expect(await indexedDB.databases()).toEqual([]);
});

test("the files belong to their owner alone from the start", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const before = process.umask(0o000);
  try {
    const store = await openStore(file);
    await openDatabase(store.indexedDB, "keys", 1);
    for (const path of [file, `${file}-wal`]) expect(statSync(path).mode & 0o777).toBe(0o600);
  } finally {
    process.umask(before);
  }
});

test("a value that no file can keep is refused where it is handed over, and changes nothing", async () => {
  const store = await openStore(join(temporaryDirectory(), "crypto.db"));
  const database = await openDatabase(store.indexedDB, "keys", 1, (fresh) => {
    fresh.createObjectStore("core");
  });
  await write(database, "core", (transaction) => {
    const core = transaction.objectStore("core");
    expect(() => core.put(() => 1, "a")).toThrow(expect.objectContaining({ name: "DataCloneError" }));
    expect(() => core.put(new SharedArrayBuffer(1), "a")).toThrow(/could not be cloned/);
    core.put(1, "b");
  });
  expect(await answered(database.transaction("core").objectStore("core").getAllKeys())).toEqual(["b"]);
});
