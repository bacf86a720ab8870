import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mxError } from "@mx-agent/base";
import { describe, expect, test } from "vitest";
import { nouns } from "../src/nouns.ts";
import { chunk, daemon, exec, execHandler, home, mx } from "./support/command-line.ts";

describe("a command line that means nothing is 64, and says where help is", () => {
  test.each([
    [["frobnicate"]],
    [["daemon"]],
    [["daemon", "frobnicate"]],
    [["daemon", "status", "--frobnicate"]],
    [["daemon", "status", "extra"]],
    [["workspace", "create"]],
    [["trust", "revoke"]],
    [["agent", "ping", "--room", "r", "--agent", "a", "--timeout", "soon"]],
    [["audit", "tail", "-n", "-1"]],
    [["invocation", "list", "--side", "both"]],
    [["invocation", "list", "--limit", "many"]],
    [["invocation", "list", "--limit", "0"]],
    [["workspace", "grant", "@a:b", "--level", "1.5", "--room", "r"]],
    [["auth", "login", "--homeserver", "http://h", "--token-stdin", "--register"]],
  ])("%j", async (words) => {
    const ended = await mx(words);
    expect(ended).toMatchObject({ code: 64, stdout: "" });
    expect(ended.stderr).toMatch(/MX_USAGE/);
    expect(ended.stderr).toMatch(/see `mx-agent (help [a-z ]*[a-z]|--help)`/);
  });
});

test.each([
  [["trust", "revoke"], "help trust revoke`; for example `mx-agent trust revoke "],
  [["trust", "approve", "a", "--frobnicate"], "help trust approve`; for example `mx-agent trust approve "],
  [["agent", "ping", "--timeout", "soon"], "help agent ping`; for example `mx-agent agent ping"],
  [["exec", "--room", "r", "--agent", "a"], "help exec`; for example `mx-agent exec "],
  [["join", "LINK", "--allow-commands", "ls"], "help join`; for example `mx-agent join "],
  [["daemon", "frobnicate"], "help daemon`"],
  [["invite"], "which one? create, list, show, revoke"],
  [["homeserver", "user"], "which one? add, list"],
  [["help", "frobnicate"], "see `mx-agent --help`"],
  [["frobnicate"], "see `mx-agent --help`"],
])("a mistake in %j is told with that command's help, and its example", async (words, hint) => {
  const ended = await mx(words);
  expect(ended.code).toBe(64);
  expect(ended.stderr).toContain(hint);
});

describe("help", () => {
  test("is the answer: on stdout, with 0, for every command", async () => {
    for (const { name, hidden } of nouns.filter((noun) => !noun.hidden)) {
      const ended = await mx([name, "--help"]);
      expect([name, hidden, ended.code, ended.stderr]).toEqual([name, undefined, 0, ""]);
      expect(ended.stdout).toContain(`Usage: mx-agent ${name}`);
    }
    expect((await mx([])).stdout).toContain("Usage: mx-agent");
    expect((await mx(["help", "daemon"])).stdout).toContain("Usage: mx-agent daemon");
    expect((await mx(["--version"])).stdout).toBe("mx-agent 0.0.1\n");
  });

  test("and version are what other programs have as commands, too", async () => {
    expect((await mx(["version"])).stdout).toBe((await mx(["--version"])).stdout);
    expect(await mx(["help", "trust", "approve"])).toEqual(await mx(["trust", "approve", "--help"]));
    for (const words of [["help"], ["help", "help"]]) expect(await mx(words)).toEqual(await mx(["--help"]));
  });

  test("does not show what mx-agent starts itself", async () => {
    expect((await mx([])).stdout).not.toContain("daemon-process");
  });
});

describe("without a daemon", () => {
  test("a question about it is 3, and everything else 69", async () => {
    expect(await mx(["daemon", "status"])).toMatchObject({ code: 3, stdout: "" });
    expect(await mx(["workspace", "list"])).toMatchObject({ code: 69, stdout: "" });
    const ended = await mx([...exec, "--", "true"]);
    expect(ended.code).toBe(69);
    expect(ended.stderr).toMatch(/daemon start`?\n.*mx-agent: MX_DAEMON_UNREACHABLE\n$/s);
  });
});

describe("where the daemon should be", () => {
  test("a directory that others may enter is not spoken to, nor configuration that others may write", async () => {
    await daemon({ "workspace.list": { parse: (params) => params as never, handle: async () => [] } });
    expect(await mx(["workspace", "list"])).toMatchObject({ code: 0 });
    await chmod(join(home, "runtime"), 0o755);
    const entered = await mx(["workspace", "list"]);
    expect(entered.code).toBe(78);
    expect(entered.stderr).toMatch(/runtime can be entered by others \(mode 0755\)\n.*MX_INSECURE_PATH/s);
    await chmod(join(home, "runtime"), 0o700);
    await mkdir(join(home, "config"), { mode: 0o700 });
    await writeFile(join(home, "config", "config.toml"), 'default_agent = "evil"\n');
    await chmod(join(home, "config", "config.toml"), 0o666);
    const written = await mx([...exec, "--", "true"]);
    expect(written).toMatchObject({ code: 78 });
    expect(written.stderr).toMatch(/config.toml can be written by others/);
    await chmod(join(home, "config", "config.toml"), 0o600);
    await chmod(join(home, "config"), 0o777);
    expect((await mx([...exec, "--", "true"])).stderr).toMatch(/config can be entered by others/);
  });

  test("a plain file is named, with what to do about it", async () => {
    await writeFile(join(home, "runtime", "agent.sock"), "");
    const ended = await mx(["daemon", "status"]);
    expect(ended.code).toBe(78);
    expect(ended.stderr).toMatch(/not a socket is in the way/);
    expect(ended.stderr).toMatch(/move it away: `ls -ld .*agent\.sock`/);
  });
});

describe("with -v", () => {
  test("what is asked whom is said on stderr, and stdout stays the answer", async () => {
    await daemon({ "exec.run": execHandler([{ type: "accepted" }, chunk("out")]) });
    const said = await mx([...exec, "-v", "--", "make", "-v"]);
    expect(said).toMatchObject({ code: 0, stdout: "out" });
    const lines = said.stderr.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^mx-agent: exec\.run: asking at .*agent\.sock$/);
    expect(lines.slice(1)).toEqual(["mx-agent: sent as inv_1 (request req_1)", "mx-agent: it was accepted"]);
    expect((await mx([...exec, "--", "make", "-v"])).stderr).toBe("");
  });
});

describe("errors of the daemon", () => {
  test.each([
    ["MX_NOT_LOGGED_IN", 3],
    ["MX_NOT_FOUND", 3],
    ["MX_UNTRUSTED", 77],
    ["MX_HOMESERVER_UNREACHABLE", 69],
    ["MX_CONFIG", 78],
    ["MX_INTERNAL", 70],
  ] as const)("%s end with %i, in three lines or one object", async (name, code) => {
    const fails = () => Promise.reject(mxError(name, { what: "thing", name: "x", detail: "d" }));
    await daemon({ "workspace.list": { parse: (params) => params as never, handle: fails } });
    const said = await mx(["workspace", "list"]);
    expect(said).toMatchObject({ code, stdout: "" });
    expect(said.stderr).toContain(`reason: ${name}`);
    const json = await mx(["workspace", "list", "--json"]);
    expect(json).toMatchObject({ code, stderr: "" });
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: name, origin: "local" } });
  });
});
