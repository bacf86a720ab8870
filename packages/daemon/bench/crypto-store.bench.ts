import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median } from "../../../scripts/bench/stats.ts";
import type { IDBDatabase, IDBOpenDBRequest } from "../src/matrix/crypto-store/idb.ts";
import { openDurableIndexedDB } from "../src/matrix/crypto-store/index.ts";

export const name = "crypto-store";
export const description =
  "Durable transactions per second of the crypto store against bare node:sqlite with the same sync setting; opening 5,000 sessions";

const SESSIONS = 5000;
/** As large as a pickled, encrypted inbound group session. */
const session = () => ({
  pickled_session: randomBytes(900).toString("base64"),
  needs_backup: 1,
  room: "!r",
});

export async function run(context: BenchContext): Promise<Row[]> {
  const directory = mkdtempSync(join(tmpdir(), "mx-crypto-store-bench-"));
  try {
    return [await throughput(directory, context), await opening(directory, context)];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function throughput(directory: string, { scale, say }: BenchContext): Promise<Row> {
  const transactions = Math.max(200, Math.round(1000 * scale));
  const rounds = Math.max(5, Math.round(20 * scale));
  const store = await openDurableIndexedDB({ file: join(directory, "throughput.db"), version: "bench" });
  const database = await openSessions(store.indexedDB.open("bench", 1));
  const bare = new DatabaseSync(join(directory, "bare.db"));
  bare.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  bare.exec("CREATE TABLE records (id INTEGER PRIMARY KEY, key TEXT UNIQUE, value BLOB)");
  const insert = bare.prepare("INSERT INTO records (key, value) VALUES (?, ?)");
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const values = Array.from({ length: transactions }, session);
    ours.push(await perSecond(transactions, (i) => put(database, `${round}:${i}`, values[i])));
    theirs.push(
      await perSecond(transactions, async (i) => {
        insert.run(`${round}:${i}`, JSON.stringify(values[i]));
      }),
    );
    say(`${round + 1} of ${rounds}: ${ours.at(-1)?.toFixed(0)} and ${theirs.at(-1)?.toFixed(0)} a second`);
  }
  bare.close();
  await store.close();
  return compared(
    {
      what: "durable transactions of the crypto store",
      against: `bare node:sqlite, ${median(theirs).toFixed(0)}/s`,
      unit: "1/s",
      aim: "at least 1/2",
      must: { atLeast: 0.5 },
    },
    ours,
    theirs,
  );
}

async function opening(directory: string, { scale }: BenchContext): Promise<Row> {
  const [empty, full] = [join(directory, "empty.db"), join(directory, "full.db")];
  const store = await openDurableIndexedDB({ file: full, version: "bench" });
  const database = await openSessions(store.indexedDB.open("bench", 1));
  const transaction = database.transaction("sessions", "readwrite");
  for (let i = 0; i < SESSIONS; i++) transaction.objectStore("sessions").put(session(), `session ${i}`);
  await new Promise((resolve) => transaction.addEventListener("complete", resolve));
  await store.close();
  await (await openDurableIndexedDB({ file: empty, version: "bench" })).close();
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < Math.max(5, Math.round(20 * scale)); round++) {
    ours.push(await openingMs(full));
    theirs.push(await openingMs(empty));
  }
  const row = compared(
    {
      what: `opening a store with ${SESSIONS} sessions`,
      against: `an empty one, ${median(theirs).toFixed(1)} ms`,
      unit: "ms",
      aim: "below 2 s",
    },
    ours,
    theirs,
  );
  return { ...row, verdict: (row.p95 ?? Number.POSITIVE_INFINITY) < 2000 ? "met" : "missed" };
}

async function openingMs(file: string): Promise<number> {
  const start = performance.now();
  const opened = await openDurableIndexedDB({ file, version: "bench" });
  const ms = performance.now() - start;
  await opened.close();
  return ms;
}

async function perSecond(times: number, one: (i: number) => Promise<void>): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < times; i++) await one(i);
  return times / ((performance.now() - start) / 1000);
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
