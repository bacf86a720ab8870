import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { openStoreFile } from "../../src/matrix/crypto-store/store-file.ts";
import type { Migration } from "../../src/matrix/crypto-store/tables.ts";
import { contents, openDatabase, openStore, temporaryDirectory, write } from "./support.ts";

const owner = fileURLToPath(new URL("./fixtures/store-owner.ts", import.meta.url));
const code = (expected: string) => expect.objectContaining({ code: expected });

test("a second owner is refused, in this process and in another, until the first one ends", async () => {
  const file = join(temporaryDirectory(), "crypto.db");
  const first = await openStore(file);
  const { commits } = first.stats();
  await expect(openStore(file)).rejects.toThrow(code("MX_STORE_LOCKED"));
  // The attempt within this process must not have taken the lock away.
  expect((await openElsewhere(file)).said).toBe("MX_STORE_LOCKED");
  const database = await openDatabase(first.indexedDB, "keys", 1);
  database.close();
  expect(first.stats().commits).toBe(commits + 1);
  await first.close();

  const other = await openElsewhere(file);
  expect(other.said).toBe("open");
  await expect(openStore(file)).rejects.toThrow(code("MX_STORE_LOCKED"));
  other.child.kill("SIGKILL");
  await once(other.child, "exit");
  await openStore(file);
});

test("a store of a newer format is refused, says what it needs, and is not touched, its log included", async () => {
  const file = await someStore();
  const db = new DatabaseSync(file);
  db.exec("UPDATE meta SET value = '9.1.0' WHERE name = 'version'; PRAGMA user_version = 7");
  db.close();
  // A log that its writer left behind when it was killed.
  const left = new DatabaseSync(file);
  left.exec("PRAGMA journal_mode = WAL; INSERT INTO meta VALUES ('x', 'y')");
  for (const suffix of ["", "-wal"]) cpSync(file + suffix, `${file}.copy${suffix}`);
  left.close();
  const before = ["", "-wal"].map((suffix) => readFileSync(`${file}.copy${suffix}`));

  const opening = openStore(`${file}.copy`);
  await expect(opening).rejects.toThrow(code("MX_STORE_NEWER"));
  await expect(opening).rejects.toThrow(/format 7, this one knows up to 1/);
  await expect(opening).rejects.toMatchObject({ hint: expect.stringContaining("9.1.0") });
  expect(["", "-wal"].map((suffix) => readFileSync(`${file}.copy${suffix}`))).toEqual(before);
});

test("values in a later format of V8's are refused by naming the Node that wrote them", async () => {
  const file = await someStore();
  const db = new DatabaseSync(file);
  db.exec("UPDATE meta SET value = '99' WHERE name = 'value_format'");
  db.exec("UPDATE meta SET value = '42.0.0' WHERE name = 'node'");
  db.close();
  await expect(openStore(file)).rejects.toMatchObject({
    code: "MX_STORE_NEWER",
    hint: expect.stringContaining("Node 42.0.0"),
  });
});

test("a store that is gone is refused where there has been one", async () => {
  const file = await someStore();
  rmSync(file);
  await expect(openStore(file, { missing: "refuse" })).rejects.toThrow(code("MX_STORE_MISSING"));
  expect(existsSync(file)).toBe(false);
  writeFileSync(`${file}-wal`, "of the store that was there");
  await expect(openStore(file)).rejects.toThrow(code("MX_STORE_DAMAGED"));
});

test("what is no store, or only a part of one, is refused as damaged and never made new", async () => {
  const whole = readFileSync(await someStore());
  const file = join(temporaryDirectory(), "crypto.db");
  const damaged: [string, Uint8Array][] = [
    ["empty", new Uint8Array()],
    ["of zeros", new Uint8Array(whole.length)],
    ["some text", Buffer.from("not a database".repeat(1000))],
    ["cut off in its header", whole.subarray(0, 50)],
    ["cut off in the middle", whole.subarray(0, whole.length - 4096)],
  ];
  for (const [name, bytes] of damaged) {
    writeFileSync(file, bytes);
    await expect(openStore(file), name).rejects.toThrow(code("MX_STORE_DAMAGED"));
    expect(readFileSync(file).equals(bytes), name).toBe(true);
  }
  rmSync(file);
  const foreign = new DatabaseSync(file);
  foreign.exec("CREATE TABLE records (x); PRAGMA user_version = 1");
  foreign.close();
  await expect(openStore(file)).rejects.toThrow(/not a crypto store/);
});

test("a bit that has flipped in a record, a schema or a key generator is noticed", async () => {
  const changes = [
    "UPDATE records SET value = CAST(replace(value, 'xxx', 'xyx') AS BLOB) WHERE store = 1",
    "UPDATE records SET store = 2 WHERE rowid = (SELECT max(rowid) - 1 FROM records)",
    "UPDATE records SET store = 99 WHERE store = 1",
    "UPDATE databases SET schema = replace(schema, 'core', 'kore')",
    `UPDATE databases SET name = '"keyz"'`,
    "UPDATE generators SET value = 0.0",
    "DROP TABLE generators",
  ];
  for (const change of changes) {
    const file = await someStore();
    const db = new DatabaseSync(file);
    db.exec(change);
    db.close();
    await expect(openStore(file), change).rejects.toThrow(code("MX_STORE_DAMAGED"));
  }
});

test("a failed opening leaves no half-made file, and says which path it was", async () => {
  const directory = temporaryDirectory();
  const file = join(directory, "missing", "crypto.db");
  await expect(openStore(file)).rejects.toMatchObject({
    code: "MX_CANNOT_WRITE",
    message: expect.stringContaining(file),
  });
  expect(readdirSync(directory)).toEqual([]);
});

const toFormat2: Migration = (db) => db.exec("ALTER TABLE meta ADD COLUMN note TEXT");
const failing: Migration = (db) => {
  db.exec("DROP TABLE generators");
  throw new Error("the migration went wrong");
};

test("an older format is migrated after a copy, which opens as it was", async () => {
  const file = await someStore();
  const before = await contentsOf(file);
  const db = openStoreFile({ file, version: "2.0.0", missing: "refuse", migrations: [toFormat2] });
  expect(db.prepare("PRAGMA user_version").get()).toEqual({ user_version: 2 });
  db.prepare("SELECT note FROM meta").all();
  db.close();
  await expect(openStore(file)).rejects.toThrow(code("MX_STORE_NEWER"));
  expect(await contentsOf(`${file}.format-1`)).toEqual(before);
});

test("a migration that fails changes nothing, and can be tried again", async () => {
  const file = await someStore();
  const before = await contentsOf(file);
  const options = { file, version: "2.0.0", missing: "refuse" } as const;
  expect(() => openStoreFile({ ...options, migrations: [toFormat2, failing] })).toThrow(/went wrong/);
  truncateSync(`${file}.format-1`, 10);
  expect(await contentsOf(file)).toEqual(before);
  openStoreFile({ ...options, migrations: [toFormat2] }).close();
  expect(await contentsOf(`${file}.format-1`)).toEqual(before);
});

/** A store with two object stores, a generator and some records, closed. */
async function someStore(): Promise<string> {
  const file = join(temporaryDirectory(), "crypto.db");
  const store = await openStore(file);
  const database = await openDatabase(store.indexedDB, "keys", 1, (fresh) => {
    fresh.createObjectStore("core");
    fresh.createObjectStore("queue", { autoIncrement: true });
  });
  await write(database, ["core", "queue"], (transaction) => {
    for (let i = 0; i < 40; i++) transaction.objectStore("core").put(`a value ${"x".repeat(400)}`, i);
    transaction.objectStore("queue").add("queued");
  });
  await store.close();
  return file;
}

async function contentsOf(file: string): Promise<unknown> {
  const store = await openStore(file);
  const found = await contents(store.indexedDB);
  await store.close();
  return found;
}

async function openElsewhere(file: string): Promise<{ said: unknown; child: ChildProcess }> {
  const child = fork(owner, [file], { execArgv: [] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const [said] = await once(child, "message");
  return { said, child };
}
