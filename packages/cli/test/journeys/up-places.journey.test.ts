/** `up` in homes that are not as they should be: an error that says what to do, and nothing half done. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bareMachine, type Machine, mxAgent, type Ran } from "../support/machine.ts";
import { errorOf, failure, type Up } from "../support/set-up.ts";

const hasSandbox = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;
const mounted = test.skipIf(!hasSandbox);
const up = ["up", "--embedded", "--bind", "127.0.0.1:0"];

let machine: Machine;
beforeEach(async () => {
  machine = await bareMachine("laptop");
});
afterEach(() => machine.close());

/** `up` with other mounts than ours; whatever it started ends with it. */
function upIn(mounts: string[]): Ran {
  const own = ["--dev-bind", "/", "/", ...mounts, "--proc", "/proc", "--unshare-pid", "--die-with-parent"];
  const ran = spawnSync("bwrap", [...own, process.execPath, mxAgent, ...up, "--json"], {
    env: machine.env,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { code: ran.status, stdout: ran.stdout, stderr: ran.stderr };
}

test("a home of a newer mx-agent is refused, untouched, with the version that it needs", async () => {
  const file = join(machine.home, "data", "state.db");
  await mkdir(join(machine.home, "data"), { mode: 0o700 });
  const db = new DatabaseSync(file);
  db.exec(
    "PRAGMA user_version = 99; CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT; INSERT INTO meta VALUES ('version', '7.8.9')",
  );
  db.close();
  const before = await readFile(file);
  expect(await failure(machine, up)).toMatchObject({
    ...{ exit: 78, code: "MX_STORE_NEWER", hint: expect.stringContaining("7.8.9") },
  });
  expect(await readFile(file)).toEqual(before);
});

test("without XDG_RUNTIME_DIR, and without a directory of ours in the environment, all of it works", async () => {
  const env = { MX_AGENT_HOME: "", XDG_RUNTIME_DIR: "", LANG: "C", LC_ALL: "POSIX" };
  const done = await machine.ask<Up>(up, { env });
  expect(done.changed).toContain("invitation");
  const runtime = join(machine.home, ".local", "share", "mx-agent", "run");
  const socket = await stat(join(runtime, "daemon.sock"));
  expect(socket.mode & 0o077).toBe(0);
  const down = await machine.ask<{ removed: string[] }>(["down", "--purge", "--yes"], { env });
  expect(down.removed).toContain(join(machine.home, ".local", "share", "mx-agent"));
  expect(existsSync(runtime)).toBe(false);
});

mounted("a home that is read-only", () => {
  const ran = upIn(["--ro-bind", machine.home, machine.home]);
  expect(errorOf(ran)).toMatchObject({
    exit: 74,
    code: "MX_CANNOT_WRITE",
    message: expect.stringMatching(/EROFS|read-only/),
  });
});

/** KiB: too little for the first file, for the homeserver, for the daemon's state. */
mounted.each([8, 128, 512, 1_024])("a disk that is full after %i KiB", (size) => {
  const ran = upIn(["--size", String(size * 1024), "--tmpfs", machine.home]);
  const { exit, code, message } = errorOf(ran);
  expect([exit, code], `${message}`).not.toEqual([70, "MX_INTERNAL"]);
  expect(`${message}${ran.stderr}`).toMatch(/ENOSPC|no space|disk is full|database or disk/i);
});

test("an address at which no homeserver could be started is forgotten, and the next call names another", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  const port = typeof address === "object" ? address?.port : 0;
  const at = (bind: string) => ["up", "--embedded", "--bind", bind];
  try {
    expect(await failure(machine, at("garbage"))).toMatchObject({
      exit: 64,
      hint: expect.stringContaining("help up"),
    });
    expect(await failure(machine, [...at("127.0.0.1:0"), "--agent", "a/b"])).toMatchObject({ exit: 64 });
    expect(existsSync(join(machine.home, "data", "setup.json"))).toBe(false);
    expect(await failure(machine, at(`127.0.0.1:${port}`))).toMatchObject({
      exit: 69,
      code: "MX_HOMESERVER_START",
      hint: expect.stringContaining("--bind"),
    });
  } finally {
    taken.close();
  }
  expect((await machine.ask<Up>(at("127.0.0.1:0"))).changed).toContain("homeserver");
});
