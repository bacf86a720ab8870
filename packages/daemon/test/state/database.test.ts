import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Database, type Migration } from "../../src/state/database.ts";

const ownerProgram = fileURLToPath(new URL("support/owner.ts", import.meta.url));
const one: Migration[] = ["CREATE TABLE t1 (v TEXT) STRICT"];
const two: Migration[] = [...one, "CREATE TABLE t2 (v TEXT) STRICT"];

let dir: string;
let file: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-state-"));
  file = join(dir, "state.db");
});
afterEach(async () => {
  await killOwners();
  rmSync(dir, { recursive: true });
});

async function killOwners(): Promise<void> {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
}

const open = (migrations: Migration[], version = "1.0.0") =>
  new Database({ file, migrations, version, waitMs: 0 });

/** What another process hears that wants the file. */
async function askOwner(formats = 1): Promise<string> {
  const child = spawn(process.execPath, [ownerProgram, file, String(formats)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = await once(child.stdout, "data");
  return String(line).trim();
}

const contents = () =>
  Object.fromEntries(
    readdirSync(dir).map((name) => [name, readFileSync(join(dir, name)).toString("base64")]),
  );

describe("a database of an older format", () => {
  test("is migrated after a copy of everything, the log included, that only its owner may read", async () => {
    const old = open(one);
    old.run("INSERT INTO t1 VALUES ('before')");
    old.close();
    expect(await askOwner()).toBe("owner");
    await killOwners();
    expect(statSync(`${file}-wal`).size).toBeGreaterThan(0);

    const now = open(two);
    expect(now.all("SELECT v FROM t1")).toEqual([{ v: "before" }, { v: "in the log" }]);
    expect(now.all("SELECT v FROM t2")).toEqual([]);
    now.close();

    const copy = `${file}.format-1`;
    expect(statSync(copy).mode & 0o777).toBe(0o600);
    const copied = new DatabaseSync(copy, { readOnly: true });
    expect(copied.prepare("PRAGMA user_version").get()).toEqual({ user_version: 1 });
    expect(copied.prepare("SELECT v FROM t1").all()).toEqual([{ v: "before" }, { v: "in the log" }]);
    copied.close();
    expect(existsSync(`${copy}.new`)).toBe(false);
  });

  test("stays as it was when a step of the migration fails, and is migrated by the next start", () => {
    open(one).close();
    const broken: Migration[] = [...one, "CREATE TABLE t2 (v TEXT) STRICT; SELECT no_such_function()"];
    expect(() => open(broken)).toThrow(/no_such_function/);
    const again = open(two);
    expect(again.get("PRAGMA user_version")).toEqual({ user_version: 2 });
    again.close();
  });
});

describe("a database of a newer format", () => {
  test("is refused byte-identical, naming the version that it needs", () => {
    open(two, "9.9.9").close();
    const before = contents();
    expect(() => open(one)).toThrow(
      expect.objectContaining({ code: "MX_STORE_NEWER", hint: expect.stringContaining("9.9.9") }),
    );
    expect(contents()).toEqual(before);
  });

  test("is refused byte-identical when its writer was killed, and its log is still there", async () => {
    expect(await askOwner(2)).toBe("owner");
    await killOwners();
    const before = contents();
    expect(Object.keys(before)).toContain("state.db-wal");
    expect(() => open(one)).toThrow(expect.objectContaining({ code: "MX_STORE_NEWER" }));
    expect(contents()).toEqual(before);
  });
});

describe("a second owner", () => {
  test("is refused while the first lives", async () => {
    const db = open(one);
    expect(await askOwner()).toMatch(/^refused (5|261)$/);
    expect(() => open(one)).toThrow(expect.objectContaining({ errcode: 5 }));
    db.close();
  });

  test("is refused also when the first has migrated it", async () => {
    open(one).close();
    const db = open(two);
    expect(await askOwner(2)).toMatch(/^refused (5|261)$/);
    db.close();
    expect(await askOwner(2)).toBe("owner");
  });

  test("that was refused in the same process leaves the first one its lock", async () => {
    const db = open(one);
    expect(() => open(one)).toThrow();
    expect(await askOwner()).toMatch(/^refused/);
    db.run("INSERT INTO t1 VALUES ('still ours')");
    db.close();
  });
});

test("a file that is no database, or a damaged one, is named with what to do, and stays as it is", () => {
  writeFileSync(
    file,
    "this was overwritten by something else, for long enough that it is no header".repeat(50),
  );
  const before = contents();
  const named = expect.objectContaining({
    code: "MX_STORE_DAMAGED",
    message: expect.stringContaining(file),
    hint: expect.stringContaining("move it aside"),
  });
  expect(() => open(one)).toThrow(named);
  expect(contents()).toEqual(before);
  rmSync(file);
  open(one).close();
  const bytes = readFileSync(file);
  writeFileSync(file, bytes.fill(0xaa, 100));
  expect(() => open(one)).toThrow(named);
});

test("a database and its log are private from the start, whatever the umask", () => {
  const before = process.umask(0);
  try {
    const db = open(one);
    db.run("INSERT INTO t1 VALUES ('x')");
    for (const name of readdirSync(dir))
      expect([name, statSync(join(dir, name)).mode & 0o777]).toEqual([name, 0o600]);
    db.close();
  } finally {
    process.umask(before);
  }
});
