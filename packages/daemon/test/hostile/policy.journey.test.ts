/**
 * A policy with a mistake, and peers who look for the gap in one without: through real daemons, without a sandbox, so
 * that the policy alone stands between the peer and the machine. Each attempt is on record, and an ordinary command
 * works right after.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";

interface Line extends Record<string, unknown> {
  kind: string;
}

let they: TwoDaemons;
/** Beside the project, where nothing is allowed. */
let outside: string;
let tools: string;
let good: string;

beforeAll(async () => {
  tools = mkdtempSync(join(tmpdir(), "mx-tools-"));
  // One file under three names, that does another thing under each: as busybox and coreutils are made.
  copyFileSync(process.execPath, join(tools, "program"));
  symlinkSync("/usr/bin/git", join(tools, "tool"));
  they = await twoDaemons({ policy: (room, user, project) => policyOf(room, user, project) });
  outside = join(they.builder.home, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "canary"), "CANARY");
  good = readFileSync(policyFile(), "utf8");
});
afterAll(async () => {
  await they?.close();
  rmSync(tools, { recursive: true, force: true });
});

const policyOf = (room: string, user: string, project: string) => `version = 1
[execution]
sandbox = "none"
network = "allow"
[rooms."${room}"]
trusted = true
[rooms."${room}".agents."${user}"]
allow_exec = true
allow_unsandboxed = true
allow_commands = ["echo", "git", "pgrep", "sh", "${tools}/tool"]
allow_cwd = ["${project}"]
deny_args_regex = ['(a+)+', '(x|xx)*y', '(.*b){30}']
`;

const policyFile = () => join(they.builder.home, "config", "policy.toml");

async function audit(): Promise<Line[]> {
  const { stdout } = await they.builder.run(["audit", "tail", "-n", "5", "--json"]);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line): Line => JSON.parse(line));
}

/** Runs an attempt, and finds its decision on record. */
async function attempt(words: string[]) {
  const ran = await they.exec(words);
  const decisions = (await audit()).filter(({ kind }) => kind === "decision");
  const last = decisions.at(-1);
  expect(last?.command).toEqual(words);
  return { ...ran, decision: last?.decision, reason: last?.reason };
}

async function ordinary(): Promise<void> {
  expect(await they.exec(["echo", "fine"])).toMatchObject({ code: 0, stdout: "fine\n" });
}

describe("a policy with a mistake denies everything until it is mended, and says where it is", () => {
  const policyState = async () =>
    (await they.builder.ask<{ policy: { state: string; detail: string } }>(["daemon", "status"])).policy;

  test.each([
    ["a typo", 'network = "allow"', 'netwrok = "allow"', 4, "netwrok"],
    ["a missing quote", 'sandbox = "none"', 'sandbox = "none', 3, "sandbox"],
    ["a relative path", 'allow_cwd = ["', 'allow_cwd = ["project", "', 11, "allow_cwd"],
    ["a date", 'allow_commands = ["echo", ', 'allow_commands = [2026-11-20, "echo", ', 10, "allow_commands"],
    ["a date that never was", "trusted = true", "trusted = 2026-02-30", 6, "trusted"],
  ])("%s", async (_, right, wrong, line, key) => {
    const place = new RegExp(`policy\\.toml:${line}\\b.*${key}`);
    // Nobody tells the daemon that the file has changed.
    writeFileSync(policyFile(), good.replace(right, wrong));
    await expect.poll(async () => (await policyState()).state, { timeout: 10_000 }).toBe("invalid");
    expect((await policyState()).detail).toMatch(place);
    const refused = await they.exec(["sh", "-c", `echo ran > ${they.project}/ran`]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain("policy_denied");
    expect(existsSync(join(they.project, "ran"))).toBe(false);
    const last = (await audit()).findLast(({ kind }) => kind === "decision");
    expect(last).toMatchObject({ decision: "deny", reason: "policy_denied" });
    const explained = await they.builder.run(["policy", "explain", String(last?.request_id)]);
    expect(explained.stdout).toMatch(place);
    expect((await they.builder.run(["doctor"])).stdout).toMatch(place);
    const log = readFileSync(join(they.builder.home, "data", "daemon.log"), "utf8");
    expect(log).toMatch(place);
    writeFileSync(policyFile(), good);
    await expect.poll(async () => (await policyState()).state, { timeout: 10_000 }).toBe("ok");
    await ordinary();
  });
});

test("a pattern that backtracks elsewhere answers, whatever argument it is tried on", async () => {
  const long = "a".repeat(10_000);
  expect((await attempt(["echo", long])).decision).toBe("deny");
  expect((await attempt(["echo", `${long}!`])).decision).toBe("allow");
  expect((await attempt(["echo", `${"x".repeat(10_000)}y`])).decision).toBe("deny");
  expect((await attempt(["echo", "x".repeat(10_000)])).decision).toBe("allow");
  expect((await attempt(["echo", "b".repeat(5_000)])).decision).toBe("deny");
  expect((await attempt(["echo", `${"ab".repeat(29)}!`])).decision).toBe("allow");
  await ordinary();
});

describe("a program that is allowed", () => {
  test("is not another one of that name, wherever that is and whatever it is asked by", async () => {
    const beside = mkdtempSync(join(tmpdir(), "mx-beside-"));
    try {
      for (const dir of [beside, they.project]) {
        copyFileSync("/bin/sh", join(dir, "git"));
        const command = ["-c", "echo another"];
        expect(await attempt([join(dir, "git"), ...command])).toMatchObject({ decision: "deny", stdout: "" });
      }
      for (const name of ["./git", "../project/git", "/usr/bin/../../tmp/git"])
        expect((await attempt([name, "-c", "echo another"])).stdout).not.toContain("another");
      expect((await attempt(["git", "--version"])).stdout).toMatch(/^git version/);
      await ordinary();
    } finally {
      rmSync(beside, { recursive: true });
      unlinkSync(join(they.project, "git"));
    }
  });

  test("is not what its file does under another name, and its name not another file", async () => {
    // pkill is a link to pgrep, git-upload-pack one to git: the name that it is called by decides what it does.
    expect((await attempt(["pkill", "-f", "nothing of that name"])).decision).toBe("deny");
    expect((await attempt(["git-upload-pack", "."])).decision).toBe("deny");
    const called = join(they.project, "pgrep");
    symlinkSync("/bin/sh", called);
    expect((await attempt([called, "-c", "echo another"])).decision).toBe("deny");
    expect((await attempt([join(tools, "program"), "-e", "0"])).decision).toBe("deny");
    expect((await attempt([join(tools, "tool"), "--version"])).stdout).toMatch(/^git version/);
    // What the name leads to has changed since the policy was read: it is another program.
    unlinkSync(join(tools, "tool"));
    symlinkSync("program", join(tools, "tool"));
    expect(await attempt([join(tools, "tool"), "-p", "'another'"])).toMatchObject({
      decision: "deny",
      stdout: "",
    });
    await ordinary();
  });
});

test("a directory that is swapped for a link while requests come is entered, or refused, and never the link's end", async () => {
  const swapped = join(they.project, "swapped");
  mkdirSync(swapped);
  const script = fileURLToPath(new URL("support/swap.ts", import.meta.url));
  const swapper = spawn(process.execPath, [script, swapped, outside], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(swapper.stdout, "data");
  const outcomes = new Set<string>();
  try {
    for (let round = 0; round < 4; round++) {
      const words = ["sh", "-c", "pwd -P; test ! -e canary || cat canary"];
      const target = ["exec", "--room", they.room, "--agent", "builder", "--cwd", swapped];
      const four = [1, 2, 3, 4].map(() => they.laptop.run([...target, "--", ...words]));
      for (const { code, stdout } of await Promise.all(four)) {
        outcomes.add(code === 0 ? "entered" : "refused");
        // While it runs the directory it is in may have been moved within the project.
        expect(stdout).toMatch(code === 0 ? new RegExp(`^${they.project}/[^/]+\n$`) : /^$/);
      }
    }
  } finally {
    swapper.stdin.end();
    await once(swapper, "exit");
  }
  expect(outcomes).toContain("refused");
  await ordinary();
});

describe("what this machine cannot enforce does not run, and it says so", () => {
  const touching = ["sh", "-c", "echo ran > ran"];

  async function refusedFor(reason: string): Promise<void> {
    const refused = await they.exec(touching);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain(reason);
    expect(existsSync(join(they.project, "ran"))).toBe(false);
    const last = (await audit()).findLast(({ kind }) => kind === "decision" || kind === "outcome");
    expect(last).toMatchObject(
      last?.kind === "decision"
        ? { decision: "deny", reason }
        : { outcome: "spawn_failed", error: reason.toUpperCase() },
    );
  }

  test("no sandbox, where the policy demands one", async () => {
    await they.builder.setPolicy(good.replace("[execution]", "[execution]\nrequire_sandbox = true"));
    await refusedFor("sandbox_required");
  });

  test("a limit that only a sandbox can hold", async () => {
    const unheld = good.replace("[execution]", "[execution]\nmax_file_bytes = 1000");
    await expect(they.builder.setPolicy(unheld)).rejects.toThrow(/max_file_bytes: the size of files/);
    await refusedFor("policy_denied");
  });

  test("a sandbox that is not there", async () => {
    const { builder } = they;
    const { PATH } = builder.env;
    for (const name of ["echo", "git", "pgrep", "sh"]) symlinkSync(`/usr/bin/${name}`, join(tools, name));
    await builder.ask(["daemon", "stop"]);
    Object.assign(builder.env, { PATH: tools });
    try {
      await builder.startDaemon();
      await builder.setPolicy(good.replace('"none"', '"bubblewrap"').replace('"allow"', '"deny"'));
      await refusedFor("sandbox_unavailable");
    } finally {
      await builder.ask(["daemon", "stop"]);
      Object.assign(builder.env, { PATH });
      await builder.startDaemon();
    }
  });

  test("and what it can enforce runs right after", async () => {
    await they.builder.setPolicy(good);
    await ordinary();
  });
});
