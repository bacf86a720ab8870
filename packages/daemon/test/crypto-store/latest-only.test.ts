/** An object store that would only ever grow. */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { IDBDatabase } from "../../src/matrix/crypto-store/idb.ts";
import type { DurableIndexedDB } from "../../src/matrix/crypto-store/index.ts";
import { answered, openDatabase, openStore, temporaryDirectory, write } from "./support.ts";

const KEEP = 300;
/** What may be there beyond, until the oldest are dropped. */
const SLACK = 100;
const keepLatest = { hashes: KEEP };

/** A key as they are in life: nothing of it tells when it came. */
const keyOf = (n: number) => `${(n * 7_919) % 10_007}-${n}`;

const opened = (store: DurableIndexedDB) =>
  openDatabase(store.indexedDB, "keys", 1, (fresh) => {
    fresh.createObjectStore("hashes");
    fresh.createObjectStore("sessions");
  });

async function put(database: IDBDatabase, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++)
    await write(database, ["hashes", "sessions"], (transaction) => {
      transaction.objectStore("hashes").put(true, keyOf(n));
      if (n % 10 === 0) transaction.objectStore("sessions").put({ n }, keyOf(n));
    });
}

const keysOf = async (database: IDBDatabase, store: string) =>
  new Set(await answered(database.transaction(store).objectStore(store).getAllKeys()));

/** Resolves when no more than that are there: they are dropped behind the write that made it too many. */
async function atMost(database: IDBDatabase, count: number): Promise<Set<unknown>> {
  for (let look = 0; look < 500; look++) {
    const keys = await keysOf(database, "hashes");
    if (keys.size <= count) return keys;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error("they were not dropped");
}

test("the latest records are kept, the oldest go, and no other store loses anything", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const store = await openStore(file, { keepLatest });
  const database = await opened(store);
  await put(database, 0, 1_000);
  const kept = await atMost(database, KEEP);
  for (let n = 1_000 - KEEP; n < 1_000; n++) expect(kept).toContain(keyOf(n));
  expect((await keysOf(database, "sessions")).size).toBe(100);
  database.close();
  await store.close();
  const disk = new DatabaseSync(file);
  const row = disk.prepare("SELECT count(*) AS n FROM records").get();
  disk.close();
  expect(Number(row?.n)).toBe(kept.size + 100);
});

test("a store that has grown without a bound, by an earlier version, shrinks to its latest records", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const before = await openStore(file);
  const grown = await opened(before);
  await put(grown, 0, 1_200);
  grown.close();
  await before.close();
  const store = await openStore(file, { keepLatest });
  const database = await opened(store);
  await put(database, 1_200, 1_201);
  const kept = await atMost(database, KEEP);
  for (let n = 1_201 - KEEP; n < 1_201; n++) expect(kept).toContain(keyOf(n));
});

test("a store that is closed while the oldest are dropped closes, and goes on with it when it is opened again", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const first = await openStore(file, { keepLatest });
  const database = await opened(first);
  await put(database, 0, KEEP + SLACK);
  await first.close();
  const store = await openStore(file, { keepLatest });
  const again = await opened(store);
  await put(again, KEEP + SLACK, KEEP + SLACK + 50);
  const kept = await atMost(again, KEEP + SLACK);
  for (let n = 150; n < KEEP + SLACK + 50; n++) expect(kept).toContain(keyOf(n));
});
