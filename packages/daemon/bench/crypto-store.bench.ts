/**
 * Durable transactions per second of the crypto store against bare node:sqlite inserts with the same sync
 * setting, side by side in one run; and how long a store with 5,000 sessions takes to open.
 *
 *   node packages/daemon/bench/crypto-store.bench.ts [TRANSACTIONS] [SESSIONS]
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { IDBDatabase, IDBOpenDBRequest } from "../src/matrix/crypto-store/idb.ts";
import { openDurableIndexedDB } from "../src/matrix/crypto-store/index.ts";

const [transactions = 2000, sessions = 5000] = process.argv.slice(2).map(Number);
const ROUNDS = 5;
const directory = mkdtempSync(join(tmpdir(), "mx-crypto-store-bench-"));
/** As large as a pickled, encrypted inbound group session. */
const session = () => ({
  pickled_session: randomBytes(900).toString("base64"),
  needs_backup: 1,
  room: "!r",
});

try {
  await compareThroughput();
  await measureLoad();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function compareThroughput(): Promise<void> {
  const store = await openDurableIndexedDB({ file: join(directory, "throughput.db"), version: "bench" });
  const database = await openSessions(store.indexedDB.open("bench", 1));
  const bare = new DatabaseSync(join(directory, "bare.db"));
  bare.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  bare.exec("CREATE TABLE records (id INTEGER PRIMARY KEY, key TEXT UNIQUE, value BLOB)");
  const insert = bare.prepare("INSERT INTO records (key, value) VALUES (?, ?)");
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const values = Array.from({ length: transactions }, session);
    const ours = await perSecond(async (i) => {
      await put(database, `${round}:${i}`, values[i]);
    });
    const theirs = await perSecond(async (i) => {
      insert.run(`${round}:${i}`, JSON.stringify(values[i]));
    });
    ratios.push(ours / theirs);
    console.log(
      `durable transactions/s: store ${ours.toFixed(0)}, bare node:sqlite ${theirs.toFixed(0)}, ratio ${(ours / theirs).toFixed(2)}`,
    );
  }
  ratios.sort((a, b) => a - b);
  console.log(
    `ratio, median of ${ROUNDS}: ${ratios[Math.floor(ROUNDS / 2)]?.toFixed(2)} (aim: at least 0.50)`,
  );
  bare.close();
  await store.close();
}

async function measureLoad(): Promise<void> {
  const empty = join(directory, "empty.db");
  const full = join(directory, "full.db");
  const store = await openDurableIndexedDB({ file: full, version: "bench" });
  const database = await openSessions(store.indexedDB.open("bench", 1));
  const transaction = database.transaction("sessions", "readwrite");
  for (let i = 0; i < sessions; i++) transaction.objectStore("sessions").put(session(), `session ${i}`);
  await new Promise((resolve) => transaction.addEventListener("complete", resolve));
  await store.close();
  await (await openDurableIndexedDB({ file: empty, version: "bench" })).close();
  for (const [name, file] of [
    ["empty", empty],
    [`${sessions} sessions`, full],
  ] as const) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const start = performance.now();
      const opened = await openDurableIndexedDB({ file, version: "bench" });
      times.push(performance.now() - start);
      await opened.close();
    }
    times.sort((a, b) => a - b);
    const size = (statSync(file).size / 2 ** 20).toFixed(1);
    console.log(`opening a store, ${name} (${size} MB): ${times[Math.floor(ROUNDS / 2)]?.toFixed(1)} ms`);
  }
}

async function perSecond(one: (i: number) => Promise<void>): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < transactions; i++) await one(i);
  return transactions / ((performance.now() - start) / 1000);
}

async function openSessions(opening: IDBOpenDBRequest): Promise<IDBDatabase> {
  opening.addEventListener("upgradeneeded", () => {
    const made = opening.result.createObjectStore("sessions");
    made.createIndex("room", "room");
    made.createIndex("needs_backup", "needs_backup");
  });
  await new Promise((resolve) => opening.addEventListener("success", resolve));
  return opening.result;
}

function put(database: IDBDatabase, key: string, value: unknown): Promise<void> {
  return new Promise((resolve) => {
    const transaction = database.transaction("sessions", "readwrite");
    transaction.addEventListener("complete", () => resolve());
    transaction.objectStore("sessions").put(value, key);
    transaction.commit();
  });
}
