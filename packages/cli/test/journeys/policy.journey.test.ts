import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { probeMachine } from "@mx-agent/sandbox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { closeAll, type Machine, newMachine } from "../support/machine.ts";

let homeserver: TestHomeserver;
let box: Machine;
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
  box = await newMachine({ name: "box", homeserver });
});
afterAll(async () => {
  await closeAll([box]).finally(() => homeserver?.close());
});

const file = () => join(box.home, "config", "policy.toml");
const samples = fileURLToPath(new URL("../../../../policy/", import.meta.url));

/** None of this needs a daemon. */
describe("a policy", () => {
  test("that is not there is said to deny everything", async () => {
    const checked = await box.run(["policy", "check"]);
    expect(checked.code).toBe(3);
    expect(checked.stderr).toContain("policy init");
  });

  test("begins as one that allows nothing, and is never overwritten", async () => {
    expect(await box.run(["policy", "init"])).toMatchObject({ code: 0 });
    expect(await box.run(["policy", "check"])).toMatchObject({ code: 0 });
    expect(await box.run(["policy", "test"])).toMatchObject({ code: 0, stdout: "0 passed, 0 failed\n" });
    const before = await readFile(file(), "utf8");
    expect((await box.run(["policy", "init"])).code).not.toBe(0);
    expect(await readFile(file(), "utf8")).toBe(before);
  });

  test.each([
    ["a key that is misspelt", "version = 1\n[execution]\nsandbocks = 'none'\n", /policy\.toml:3.*sandbocks/],
    ["a quote that is missing", 'version = 1\n[rooms."!a:b]\ntrusted = true\n', /policy\.toml:2/],
    ["a path that is relative", "version = 1\n[execution]\nread_only_paths = ['src']\n", /policy\.toml:3/],
  ])("with %s names file, line and what is wrong: 78", async (_, text, expected) => {
    await writeFile(file(), text);
    const checked = await box.run(["policy", "check"]);
    expect(checked.code).toBe(78);
    expect(checked.stdout).toMatch(expected);
    expect(checked.stdout).toContain("everything is denied");
    const json = await box.run(["policy", "check", "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ state: "invalid" });
  });

  test("is checked against what this machine can do, and nothing is taken to be there", async () => {
    const text = `version = 1
[rooms."!a:b.example"]
trusted = true
[rooms."!a:b.example".agents."@u:b.example"]
allow_exec = true
allow_commands = ["true"]
allow_cwd = ["${box.home}/project"]
`;
    await mkdir(join(box.home, "project"), { recursive: true });
    await writeFile(file(), text);
    // Where no bwrap is on PATH there is no sandbox, whatever else the machine has.
    const bare = await box.run(["policy", "check"], { env: { PATH: "/nonexistent" } });
    expect(bare.stdout).toContain("bubblewrap cannot be used here (bwrap is not on PATH");
    const { bubblewrap } = await probeMachine();
    const here = await box.run(["policy", "check"]);
    expect(here.stdout.includes("bubblewrap cannot be used here")).toBe(!bubblewrap.available);
  });

  test("whose own test fails is 65, with what came instead", async () => {
    await mkdir(join(box.home, "project"), { recursive: true });
    const text = `version = 1
[[test]]
name = "anybody may list"
request = { room = "!a:b.example", user = "@u:b.example", command = ["ls"], cwd = "${join(box.home, "project")}" }
expect = "allow"
`;
    await writeFile(file(), text);
    const tested = await box.run(["policy", "test"]);
    expect(tested.code).toBe(65);
    expect(tested.stdout).toMatch(/FAILED {2}anybody may list \(line 2\): expected allow, got deny/);
  });

  test.each(["ci-runner.toml", "personal.toml", "team.toml"])(
    "of the samples, %s, passes its own tests",
    async (name) => {
      const tested = await box.run(["policy", "test", "--assume", join(samples, name)], {
        env: { HOME: "/home/me" },
      });
      expect(tested.stdout).toMatch(/[1-9]\d* passed, 0 failed\n$/);
      expect(tested.code).toBe(0);
    },
  );

  test("that is broken while the daemon runs is said by it, and a whole one taken up again", async () => {
    await writeFile(file(), "version = 1\n");
    await box.startDaemon();
    expect(await box.run(["daemon", "reload"])).toMatchObject({ code: 0 });
    await writeFile(file(), "version = one\n");
    const broken = await box.run(["daemon", "reload"]);
    expect(broken.stdout).toMatch(/policy: invalid: .*policy\.toml:1/);
    const status = await box.ask<{ policy: { state: string } }>(["daemon", "status"]);
    expect(status.policy.state).toBe("invalid");
    await writeFile(file(), "version = 1\n");
    expect((await box.run(["daemon", "reload"])).stdout).toMatch(/policy: ok/);
  });
});

describe("config show", () => {
  test("says where each value comes from, a variable before the file", async () => {
    await writeFile(
      join(box.home, "config", "config.toml"),
      'default_room = "file"\ndefault_agent = "file"\n',
      {
        mode: 0o600,
      },
    );
    const shown = await box.ask<{
      values: Record<string, string>;
      origins: Record<string, { from: string }>;
    }>(["config", "show", "--origin"], { env: { MX_AGENT_ROOM: "variable" } });
    expect(shown.values).toMatchObject({ default_room: "variable", default_agent: "file" });
    expect(shown.origins.default_room?.from).not.toBe("file");
    expect(shown.origins.default_agent?.from).toBe("file");
  });

  test("with a key that does not exist is 78, with file and line", async () => {
    await writeFile(join(box.home, "config", "config.toml"), 'default_rooms = "x"\n', { mode: 0o600 });
    const refused = await box.run(["config", "show"]);
    expect(refused.code).toBe(78);
    expect(refused.stderr).toMatch(/config\.toml.*1/);
  });
});
