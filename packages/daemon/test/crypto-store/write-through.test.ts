import { expect, test } from "vitest";
import type { Change } from "../../src/matrix/crypto-store/change.ts";
import { type IDBFactory, type IDBTarget, memoryIndexedDB } from "../../src/matrix/crypto-store/idb.ts";
import { WriteThrough } from "../../src/matrix/crypto-store/write-through.ts";
import { answered, openDatabase, write } from "./support.ts";

/** A journal on a disk that fails when it is told to. */
function failingStore() {
  const indexedDB = memoryIndexedDB();
  const committed: Change[] = [];
  /** How many changes there were at each sync of the disk. */
  const synced: number[] = [];
  const failures: unknown[] = [];
  let broken = false;
  const journal = {
    commit: (change: Change) => {
      if (broken) throw new Error("the disk is full");
      committed.push(change);
    },
    begin: () => undefined,
    end: () => {
      if (broken) throw new Error("the disk is full");
    },
    sync: () => {
      if (broken) throw new Error("the disk is full");
      synced.push(committed.length);
    },
  };
  const onFailure = (error: unknown) => failures.push(error);
  const through = new WriteThrough({ indexedDB, stored: [], journal, onFailure });
  const breakDisk = () => {
    broken = true;
  };
  return { indexedDB, committed, synced, failures, through, breakDisk };
}

async function withDatabase(indexedDB: IDBFactory) {
  return openDatabase(indexedDB, "keys", 1, (fresh) => {
    fresh.createObjectStore("core");
    fresh.createObjectStore("other");
  });
}

/** Everything that fake-indexeddb has put off is done after so many turns: it takes a few for each step. */
async function manyTurns(): Promise<void> {
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
}

function listen(
  told: string[],
  target: IDBTarget & { oncomplete?: unknown; onsuccess?: unknown },
  name: string,
) {
  for (const type of ["complete", "success"])
    target.addEventListener(type, () => told.push(`${name} ${type}`));
  Object.assign(target, {
    oncomplete: () => told.push(`${name} oncomplete`),
    onsuccess: () => told.push(`${name} onsuccess`),
  });
}

test("after a commit has failed nobody hears of that transaction, nor of any that waited behind it", async () => {
  const { indexedDB, failures, through, breakDisk } = failingStore();
  const database = await withDatabase(indexedDB);
  const other = database.transaction("other", "readwrite");
  const keepAlive = () =>
    other
      .objectStore("other")
      .put(1, "x")
      .addEventListener("success", () => failures.length === 0 && keepAlive());
  keepAlive();
  const told: string[] = [];
  const first = database.transaction("core", "readwrite");
  const second = database.transaction("core", "readwrite");
  const reading = database.transaction("core", "readonly");
  listen(told, first, "first");
  listen(told, second, "second");
  listen(told, other, "other");
  listen(told, reading, "reading");
  listen(told, reading.objectStore("core").getAll(), "what it read");
  first.objectStore("core").put(1, "a");
  second.objectStore("core").put(2, "b");
  breakDisk();
  await manyTurns();

  expect(told).toEqual([]);
  expect(failures).toEqual([new Error("the disk is full")]);
  expect(() => database.transaction("core", "readonly")).toThrow(/could not write/);
  expect(() => indexedDB.open("keys")).toThrow(/could not write/);
  await through.drain();
});

test("a version change that could not be made durable does not open its database", async () => {
  const { indexedDB, failures, breakDisk } = failingStore();
  breakDisk();
  const told: string[] = [];
  const request = indexedDB.open("keys", 1);
  listen(told, request, "open");
  await manyTurns();
  expect(told).toEqual([]);
  expect(failures).toHaveLength(1);
});

test("a deletion that could not be made durable is not confirmed", async () => {
  const { indexedDB, failures, breakDisk } = failingStore();
  (await withDatabase(indexedDB)).close();
  breakDisk();
  const told: string[] = [];
  listen(told, indexedDB.deleteDatabase("keys"), "deletion");
  await manyTurns();
  expect(told).toEqual([]);
  expect(failures).toHaveLength(1);
});

test("each transaction that wrote is one change, in the order of completion", async () => {
  const { indexedDB, committed } = failingStore();
  const database = await withDatabase(indexedDB);
  await Promise.all([
    write(database, "core", (transaction) => {
      transaction.objectStore("core").put(1, "a");
      transaction.objectStore("core").delete("z");
    }),
    write(database, ["core", "other"], (transaction) => transaction.objectStore("other").put(2, "b")),
    write(database, "core", (transaction) => transaction.objectStore("core").get("a")),
  ]);
  expect(committed.map(({ schema, writes }) => [schema?.version, writes.map(({ kind }) => kind)])).toEqual([
    [1, []],
    [undefined, ["put", "delete"]],
    [undefined, ["put"]],
  ]);
});

test("a write through an index's cursor belongs to the record behind it", async () => {
  const { indexedDB, committed } = failingStore();
  const database = await openDatabase(indexedDB, "keys", 1, (fresh) => {
    const sessions = fresh.createObjectStore("sessions");
    sessions.createIndex("by_room", "room");
    sessions.put({ room: "!a" }, "s1");
  });
  await write(database, "sessions", (transaction) => {
    const request = transaction.objectStore("sessions").index("by_room").openCursor();
    request.addEventListener("success", () => request.result?.update({ room: "!b" }));
  });
  expect(committed).toHaveLength(2);
  expect(await answered(database.transaction("sessions").objectStore("sessions").get("s1"))).toEqual({
    room: "!b",
  });
});

test("what is written together is durable together, and until then nobody may pass it on", async () => {
  const { indexedDB, committed, synced, through } = failingStore();
  const database = await withDatabase(indexedDB);
  const order: string[] = [];
  const started = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const work = through.together(async () => {
    await write(database, "core", (tx) => tx.objectStore("core").put(1, "a"));
    started.resolve();
    await goOn.promise;
    await write(database, "core", (tx) => tx.objectStore("core").put(2, "b"));
    order.push("worked");
  });
  await started.promise;
  const durable = through.durable().then(() => order.push("durable"));
  await manyTurns();
  expect(order).toEqual([]);
  goOn.resolve();
  await Promise.all([work, durable]);
  expect(order).toEqual(["worked", "durable"]);
  expect(committed.flatMap(({ writes }) => writes)).toHaveLength(2);
  expect(synced).toEqual([committed.length]);
});

test("what was written together and can't be brought to the disk is passed on by nobody", async () => {
  const { indexedDB, failures, through, breakDisk } = failingStore();
  const database = await withDatabase(indexedDB);
  await through.together(() => write(database, "core", (tx) => tx.objectStore("core").put(1, "a")));
  breakDisk();
  const passedOn: unknown[] = [];
  void through.durable().then(() => passedOn.push("passed on"));
  await manyTurns();
  expect(failures).toHaveLength(1);
  expect(passedOn).toEqual([]);
});

test("where what was written together can't be made durable, the store takes nothing any more", async () => {
  const { indexedDB, failures, through, breakDisk } = failingStore();
  const database = await withDatabase(indexedDB);
  const passedOn: unknown[] = [];
  await through.together(async () => {
    await write(database, "core", (tx) => tx.objectStore("core").put(1, "a"));
    breakDisk();
  });
  void through.durable().then(() => passedOn.push("passed on"));
  await manyTurns();
  expect(failures).toHaveLength(1);
  expect(passedOn).toEqual([]);
  expect(() => database.transaction(["core"], "readwrite")).toThrow(/could not write/);
});
