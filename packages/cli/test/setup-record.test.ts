/** What `up` and `join` write down for later calls. */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { forgetAccount, keepAccount, madeAccount, readRecord, remember } from "../src/setup/record.ts";

let home: string;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "mx-record-"));
  env = { MX_AGENT_HOME: home };
});
afterEach(() => rm(home, { recursive: true }));

const here = { homeserver: "http://127.0.0.1:8008", user: "laptop", password: "one" };
const there = { homeserver: "https://matrix.example.org", user: "laptop", password: "two" };

test("the password of every account that was made here is kept, for its owner alone", async () => {
  for (const account of [here, there]) keepAccount(env, account);
  expect(madeAccount(env, here.homeserver)).toEqual(here);
  expect(madeAccount(env, there.homeserver, "laptop")).toEqual(there);
  expect(madeAccount(env, there.homeserver, "builder")).toBeUndefined();
  expect((await stat(join(home, "data", "setup.json"))).mode & 0o077).toBe(0);
});

test("the latest account of a homeserver is the one that the next call goes on with", () => {
  for (const user of ["first", "second"]) keepAccount(env, { ...here, user });
  expect(madeAccount(env, here.homeserver)?.user).toBe("second");
  forgetAccount(env, { ...here, user: "second" });
  expect(madeAccount(env, here.homeserver)?.user).toBe("first");
});

test("what version 0.1.0 wrote is read, and nothing of it is lost by what is written next", async () => {
  const embedded = { data: join(home, "data", "homeserver"), bind: "127.0.0.1:8008" };
  await mkdir(join(home, "data"), { mode: 0o700 });
  const file = join(home, "data", "setup.json");
  await writeFile(file, JSON.stringify({ embedded, account: here }), { mode: 0o600 });
  keepAccount(env, there);
  remember(env, { public_url: "https://matrix.example.org" });
  expect(readRecord(env)).toEqual({
    embedded,
    accounts: [there, here],
    public_url: "https://matrix.example.org",
  });
  expect(Object.keys(JSON.parse(await readFile(file, "utf8")))).not.toContain("account");
});
