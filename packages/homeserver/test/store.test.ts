import { cp, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRegistrationToken } from "../src/index.ts";
import { Database } from "../src/store/database.ts";
import { openStore } from "../src/store/index.ts";
import { lockDataDir } from "../src/store/lock.ts";
import { FORMAT, migrate } from "../src/store/migrations.ts";
import { schemaV1, schemaV2 } from "../src/store/schema.ts";
import { ToDeviceStore } from "../src/store/to-device.ts";

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "mx-homeserver-test-"));
  path = join(directory, "homeserver.db");
});
afterEach(() => rm(directory, { recursive: true }));

/** What somebody else would find on the disk now. */
function onDisk(): string[] {
  const other = new DatabaseSync(path, { readOnly: true });
  const users = other.prepare("SELECT user_id FROM users ORDER BY 1").all();
  other.close();
  return users.map((row) => String(row.user_id));
}

describe("group commit", () => {
  it("puts units that come together on disk together, and not before durable() resolves", async () => {
    const store = openStore(path);
    for (const name of ["@a:x", "@b:x"]) store.db.transaction(() => store.accounts.createUser(name, null, 0));
    const told: string[] = [];
    store.db.transaction(() => store.db.afterCommit(() => told.push("told")));
    expect(onDisk()).toEqual([]);
    expect(told).toEqual([]);
    await store.db.durable();
    expect(onDisk()).toEqual(["@a:x", "@b:x"]);
    expect(told).toEqual(["told"]);
    store.db.close();
  });

  it("a unit that fails takes nothing but itself along", async () => {
    const store = openStore(path);
    const undone: string[] = [];
    store.db.transaction(() => store.accounts.createUser("@a:x", null, 0));
    const failing = () =>
      store.db.transaction(() => {
        store.accounts.createUser("@b:x", null, 0);
        store.db.afterRollback(() => undone.push("undone"));
        store.db.afterCommit(() => undone.push("never"));
        throw new Error("no");
      });
    expect(failing).toThrow("no");
    store.db.transaction(() => store.accounts.createUser("@c:x", null, 0));
    await store.db.durable();
    expect(onDisk()).toEqual(["@a:x", "@c:x"]);
    expect(undone).toEqual(["undone"]);
    store.db.close();
  });

  it("a group that can't be committed is reported to whoever waits, and caches forget it", async () => {
    const store = openStore(path);
    let reset = 0;
    store.db.onReset(() => {
      reset += 1;
    });
    store.db.transaction(() => {
      store.db.run("PRAGMA defer_foreign_keys = ON");
      store.db.run("CREATE TABLE parent (id INTEGER PRIMARY KEY)");
      store.db.run("CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)");
    });
    await store.db.durable();
    store.db.transaction(() => {
      store.accounts.createUser("@a:x", null, 0);
      store.db.run("INSERT INTO child VALUES (1)");
    });
    await expect(store.db.durable()).rejects.toThrow("FOREIGN KEY");
    expect(reset).toBe(1);
    expect(onDisk()).toEqual([]);
    store.db.transaction(() => store.accounts.createUser("@b:x", null, 0));
    await store.db.durable();
    expect(onDisk()).toEqual(["@b:x"]);
    store.db.close();
  });

  it("writing outside of a unit is a mistake", () => {
    const store = openStore(path);
    expect(() => store.accounts.createUser("@a:x", null, 0)).toThrow("outside of a transaction");
    store.db.close();
  });
});

describe("positions", () => {
  it("never come again, not even those that were never written down", async () => {
    const first = openStore(path);
    for (let i = 0; i < 20_001; i++) first.positions.next();
    await first.db.durable();
    const last = first.positions.last;
    first.db.close();
    const second = openStore(path);
    expect(second.positions.next()).toBeGreaterThan(last);
    second.db.close();
  });
});

it("a store of a later program is refused, untouched", () => {
  openStore(path).db.close();
  const later = new DatabaseSync(path);
  later.exec("PRAGMA user_version = 99");
  later.close();
  expect(() => openStore(path)).toThrow(/format 99/);
  const after = new DatabaseSync(path);
  expect(after.prepare("PRAGMA user_version").get()).toEqual({ user_version: 99 });
  after.close();
});

describe("a store that a later program migrated", () => {
  const later = [schemaV1, schemaV2, "CREATE TABLE later (x)"];

  it("was copied before, as it was", async () => {
    const store = openStore(path);
    store.db.transaction(() => store.accounts.createUser("@a:x", null, 0));
    store.db.close();
    const sqlite = new DatabaseSync(path);
    migrate(sqlite, path, later);
    migrate(sqlite, path, later);
    sqlite.close();
    const copy = `${path}.format-${FORMAT}`;
    expect((await stat(copy)).mode & 0o777).toBe(0o600);
    const before = openStore(copy);
    expect(before.accounts.users()).toMatchObject([{ user_id: "@a:x" }]);
    before.db.close();
  });

  it("is refused untouched, even when that program was killed at once", async () => {
    openStore(path).db.close();
    const sqlite = new DatabaseSync(path);
    sqlite.exec("PRAGMA journal_mode = WAL");
    migrate(sqlite, path, later);
    // What a kill leaves is what is there now.
    const killed = join(directory, "killed");
    for (const end of ["", "-wal"]) await cp(`${path}${end}`, join(killed, `homeserver.db${end}`));
    sqlite.close();
    const files = async () => {
      const names = (await readdir(killed)).sort();
      return Promise.all(names.map(async (name) => [name, await readFile(join(killed, name), "base64")]));
    };
    const before = await files();
    expect(() => openStore(join(killed, "homeserver.db"))).toThrow(/format 3/);
    expect(await files()).toEqual(before);
  });

  it("is as it was when a step fails", () => {
    openStore(path).db.close();
    const sqlite = new DatabaseSync(path);
    expect(() => migrate(sqlite, path, [schemaV1, schemaV2, "CREATE TABLE x (y); nonsense"])).toThrow(
      "syntax error",
    );
    sqlite.close();
    openStore(path).db.close();
  });
});

it("one-time keys of before are still handed out, once, and those that went are not forgotten too soon", () => {
  const sqlite = new DatabaseSync(path);
  migrate(sqlite, path, [schemaV1]);
  sqlite.exec("INSERT INTO one_time_keys VALUES ('@a:x', 'D', 'c', 'OLD', '1')");
  sqlite.close();
  const { db, oneTimeKeys } = openStore(path);
  const take = () => oneTimeKeys.take("@a:x", "D", "c")?.keyId;
  db.transaction(() => {
    oneTimeKeys.add("@a:x", "D", [{ algorithm: "c", keyId: "NEW", key: "2" }]);
    expect([take(), take(), take()]).toEqual(["OLD", "NEW", undefined]);
    for (let n = 0; n < 2_000; n++) {
      oneTimeKeys.add("@a:x", "D", [{ algorithm: "c", keyId: `K${n}`, key: "3" }]);
      expect(take()).toBe(`K${n}`);
    }
  });
  const remembered = Array.from({ length: 2_000 }, (_, n) => oneTimeKeys.claimed("@a:x", "D", "c", `K${n}`));
  expect(remembered.filter((key) => key !== undefined)).toHaveLength(1_000);
  expect(remembered.lastIndexOf(undefined)).toBe(999);
  db.transaction(() => oneTimeKeys.deleteDevice("@a:x", "D"));
  expect(oneTimeKeys.claimed("@a:x", "D", "c", "K1999")).toBeUndefined();
  db.close();
});

describe("to-device messages that nobody fetches", () => {
  const limits = { messages: 40, bytes: 1_000 };
  const open = () => {
    const db = new Database(path);
    const queues = new ToDeviceStore(db, limits);
    let pos = 0;
    /** Sends until it is refused; how many went. */
    const fill = (sender: string, device: string, text: string) =>
      db.transaction(() => {
        let sent = 0;
        while (sent < 1_000 && queues.add(++pos, "@a:x", device, sender, "t", text)) sent += 1;
        return sent;
      });
    const waiting = (device: string) => queues.waiting("@a:x", device, 0, 1e9, 1e9);
    return { db, queues, fill, waiting };
  };

  it("all stay, and whoever sent them all sends no more; others do, and to other devices", () => {
    const { db, queues, fill, waiting } = open();
    expect(fill("@hostile:x", "DEAD", "{}")).toBe(40);
    expect(fill("@hostile:x", "DEAD", "{}")).toBe(0);
    expect(fill("@hostile:x", "OTHER", "{}")).toBe(40);
    expect(fill("@b:x", "DEAD", "{}")).toBe(40);
    const all = waiting("DEAD");
    expect(all).toHaveLength(80);
    // What the device has fetched makes room for its sender.
    const half = all[19]?.pos ?? 0;
    db.transaction(() => queues.acknowledge("@a:x", "DEAD", half));
    expect(fill("@b:x", "DEAD", "{}")).toBe(0);
    expect(fill("@hostile:x", "DEAD", "{}")).toBe(20);
    expect(waiting("DEAD").filter(({ sender }) => sender === "@b:x")).toHaveLength(40);
    db.close();
  });

  it("are bounded by size too, over a restart and where what was sent is undone", () => {
    const text = JSON.stringify("é".repeat(49));
    const first = open();
    expect(first.fill("@b:x", "DEAD", text)).toBe(10);
    first.db.close();
    const { db, queues, fill, waiting } = open();
    db.transaction(() => queues.acknowledge("@a:x", "DEAD", 5));
    const undone = () =>
      db.transaction(() => {
        for (let n = 0; n < 5; n++) expect(queues.add(100 + n, "@a:x", "DEAD", "@b:x", "t", text)).toBe(true);
        throw new Error("no");
      });
    expect(undone).toThrow("no");
    expect(queues.waiting("@a:x", "DEAD", 0, 1e9, 1e9)).toHaveLength(5);
    const more = db.transaction(() => {
      let sent = 0;
      while (queues.add(200 + sent, "@a:x", "DEAD", "@b:x", "t", text)) sent += 1;
      return sent;
    });
    expect(more).toBe(5);
    expect(fill("@b:x", "DEAD", text)).toBe(0);
    expect(waiting("DEAD")).toHaveLength(10);
    db.close();
  });
});

it("the transaction ids of events are kept as long as their device, those of to-device messages for a time", () => {
  const store = openStore(path);
  const { accounts, clientData, db } = store;
  db.transaction(() => {
    clientData.addTransaction("@a:x", "D", "send !r m.room.message", "1", "$event", 0);
    clientData.addTransaction("@a:x", "D", "sendToDevice t", "1", "{}", 0);
    clientData.deleteToDeviceTransactionsBefore(1e15);
  });
  expect(clientData.transaction("@a:x", "D", "send !r m.room.message", "1")).toBe("$event");
  expect(clientData.transaction("@a:x", "D", "sendToDevice t", "1")).toBeUndefined();
  db.transaction(() => accounts.deleteDevice("@a:x", "D"));
  expect(clientData.transaction("@a:x", "D", "send !r m.room.message", "1")).toBeUndefined();
  db.close();
});

it("an expired token is known for as long as its client can renew it", async () => {
  const { db, accounts } = openStore(path);
  const token = (hash: string, deviceId: string, expiresTs: number, replaces: string | null = null) =>
    accounts.addToken({ hash, userId: "@a:x", deviceId, expiresTs, replaces });
  const left = () =>
    ["away", "current", "used", "unused", "ended"].filter((hash) => accounts.token(hash) !== undefined);
  db.transaction(() => {
    token("away", "AWAY", 10);
    accounts.addRefreshToken("away", "@a:x", "AWAY");
    token("used", "BUSY", 10);
    token("current", "BUSY", 20);
    token("unused", "BUSY", 30, "busy");
    accounts.addRefreshToken("busy", "@a:x", "BUSY");
    token("ended", "ENDED", 10);
    accounts.deleteTokensExpiredBefore(1_000);
  });
  expect(left()).toEqual(["away", "current", "unused"]);
  db.transaction(() => {
    for (const device of ["AWAY", "BUSY"]) accounts.deleteDevice("@a:x", device);
    accounts.deleteTokensExpiredBefore(1_000);
  });
  expect(left()).toEqual([]);
  await db.durable();
  db.close();
});

it("a store that an older server has open is not brought up to date under it", async () => {
  const sqlite = new DatabaseSync(path);
  migrate(sqlite, path, [schemaV1]);
  const lock = lockDataDir(directory);
  const format = () => sqlite.prepare("PRAGMA user_version").get()?.user_version;
  try {
    await expect(createRegistrationToken(directory)).rejects.toMatchObject({
      code: "MX_STORE_LOCKED",
      hint: expect.stringContaining("`mx-agent down`"),
    });
    expect(format()).toBe(1);
  } finally {
    lock.release();
  }
  expect(await createRegistrationToken(directory)).toMatch(/^mxreg_/);
  expect(format()).toBe(2);
  sqlite.close();
});
