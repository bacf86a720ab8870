/** Homes of each released version are gone on with by this one; a home of a newer version is left as it is. */
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { mxAgent, type Ran } from "../support/machine.ts";

const here = dirname(fileURLToPath(import.meta.url));
const releases = readdirSync(here).flatMap((name) => /^home-(.+)\.tar\.gz$/.exec(name)?.[1] ?? []);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-upgrade-"));
});
afterEach(async () => {
  for (const machine of ["laptop", "builder"]) await mx(machine, "daemon", "stop");
  await mx("homeserver", "homeserver", "stop", "--data", at("homeserver/data"));
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
});

const at = (path: string) => join(dir, path);

function mx(machine: string, ...args: string[]): Promise<Ran> {
  const env = { PATH: process.env.PATH, HOME: dir, MX_AGENT_HOME: at(machine) };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [mxAgent, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    child.stdin?.end();
  });
}

async function json(machine: string, ...args: string[]) {
  const { code, stdout, stderr } = await mx(machine, ...args, "--json");
  expect(code, `${args.join(" ")}: ${stderr}${stdout}`).toBe(0);
  return JSON.parse(stdout);
}

/** The homes as they were released, but for what a directory and a port of this test make different. */
function unpack(release: string): void {
  execFileSync("tar", ["-xzf", join(here, `home-${release}.tar.gz`), "-C", dir]);
  const policy = at("builder/config/policy.toml");
  writeFileSync(
    policy,
    readFileSync(policy, "utf8").replace(/"[^"]*\/builder\/project"/, `"${at("builder/project")}"`),
  );
}

/** Where the homeserver of this test listens, and what a clock that is behind the one of the release would hold up. */
function moved(machine: string, url: string): void {
  const db = new DatabaseSync(at(`${machine}/data/state.db`));
  const { value } = db.prepare("SELECT value FROM settings WHERE key = 'credentials'").get() as {
    value: string;
  };
  db.prepare("UPDATE settings SET value = ? WHERE key = 'credentials'").run(
    JSON.stringify({ ...JSON.parse(value), homeserver: url }),
  );
  db.prepare("DELETE FROM settings WHERE key = 'latest_ts' AND CAST(value AS INTEGER) > ?").run(Date.now());
  db.prepare("UPDATE own_agents SET cwd = ? WHERE agent_id = 'builder'").run(at("builder/project"));
  db.close();
}

describe.each(releases)("a home of %s", (release) => {
  test("goes on: its login, keys, trust, past and record are there, and it runs commands", async () => {
    unpack(release);
    const homeserver = ["homeserver", "start", "--data", at("homeserver/data"), "--bind", "127.0.0.1:0"];
    const { url } = await json("homeserver", ...homeserver);
    for (const machine of ["laptop", "builder"]) {
      moved(machine, url);
      await json(machine, "daemon", "start");
      expect(await json(machine, "auth", "status")).toMatchObject({
        account: { user_id: `@${machine}:localhost` },
      });
      expect(await json(machine, "audit", "verify")).toMatchObject({ ok: true });
    }
    await eventually(async () => (await json("laptop", "daemon", "status")).sync.state === "healthy");
    await eventually(async () => (await json("builder", "daemon", "status")).sync.state === "healthy");
    expect(await json("laptop", "workspace", "list")).toMatchObject([{ name: "farm", encrypted: true }]);
    expect(await json("builder", "trust", "list")).toMatchObject([{ agent_id: "laptop", status: "trusted" }]);
    const past = await json("laptop", "invocation", "list");
    expect(past.map(({ state }: { state: string }) => state).sort()).toEqual(["ended", "rejected"]);
    const ran = past.find(({ state }: { state: string }) => state === "ended").invocation_id;
    expect(await mx("builder", "invocation", "logs", ran)).toMatchObject({ stdout: `from ${release}\n` });
    // Encrypted, with the keys of then: no approval and no exchange of keys in between.
    expect(await mx("laptop", "exec", "--", "echo", "still here")).toMatchObject({
      code: 0,
      stdout: "still here\n",
    });
    expect((await mx("laptop", "exec", "--", "rm", "x")).code).toBe(77);
    expect(await json("builder", "audit", "verify")).toMatchObject({ ok: true });
  });
});

describe("what a newer version has written", () => {
  const digest = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");
  const ofRelease = (): string => {
    const [release = ""] = releases;
    unpack(release);
    return release;
  };
  const newer = (file: string) => {
    const db = new DatabaseSync(file);
    db.exec("PRAGMA journal_mode = DELETE; PRAGMA user_version = 9999");
    db.exec("INSERT INTO meta VALUES ('version', '9.9.9') ON CONFLICT DO UPDATE SET value = excluded.value");
    db.close();
    return { file, before: digest(file) };
  };

  test.each([
    ["state", ["builder", "daemon", "start"], () => at("builder/data/state.db")],
    [
      "homeserver",
      ["homeserver", "homeserver", "start", "--bind", "127.0.0.1:0", "--data", "homeserver/data"],
      () => at("homeserver/data/homeserver.db"),
    ],
  ] as const)(
    "as %s is refused with the version that it needs, and not touched",
    async (_, [machine, ...words], file) => {
      ofRelease();
      const store = newer(file());
      const args = words.map((word) => (word === "homeserver/data" ? at(word) : word));
      const { code, stderr } = await mx(machine, ...args);
      expect(code, stderr).toBe(78);
      expect(stderr).toMatch(/MX_STORE_NEWER/);
      expect(stderr).toContain("install mx-agent 9.9.9 or later");
      expect(digest(store.file)).toBe(store.before);
      for (const beside of ["-wal", "-shm", "-journal"])
        expect(existsSync(`${store.file}${beside}`)).toBe(false);
    },
  );

  test("as keys of the encryption keeps the session from starting, and is not touched", async () => {
    ofRelease();
    const crypto = at("builder/data/crypto");
    const name = readdirSync(crypto).find((one) => one.endsWith(".db")) ?? "";
    const store = newer(join(crypto, name));
    await json("builder", "daemon", "start");
    const { sync } = await json("builder", "daemon", "status");
    expect(sync).toMatchObject({
      state: "stopped",
      detail: expect.stringContaining("written by a newer mx-agent"),
    });
    const { stdout } = await mx("builder", "doctor");
    expect(stdout).toMatch(/error +sync: stopped: .*newer mx-agent/);
    expect(digest(store.file)).toBe(store.before);
  });

  test("as a policy denies everything, and says why", async () => {
    ofRelease();
    const file = at("builder/config/policy.toml");
    const text = readFileSync(file, "utf8").replace("version = 1", "version = 2");
    writeFileSync(file, text);
    const { code, stdout } = await mx("builder", "policy", "check");
    expect(code).toBe(78);
    expect(stdout).toMatch(/version/);
    expect(readFileSync(file, "utf8")).toBe(text);
  });
});
