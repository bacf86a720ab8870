import { expect, test } from "vitest";
import { type Decision, decide, loadPolicy, type PolicyRequest, requirements } from "../src/index.ts";
import { machine } from "./support/machine.ts";

function load(text: string) {
  const loaded = loadPolicy(`version = 1\n${text}`, "policy.toml", machine);
  if (loaded.state !== "ok") throw new Error(JSON.stringify(loaded));
  return loaded;
}

const git = 'allow_exec = true\nallow_commands = ["git"]\nallow_cwd = ["/srv/project"]\n';

function ask(text: string, over: Partial<PolicyRequest> = {}): Decision {
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "exec" as const, command: ["git", "x"] },
    cwd: "/srv/project/deep",
    env: {},
    timeout_ms: null,
  };
  return decide(load(text), { ...request, ...over }, machine);
}

const user = '[rooms."!a:x"]\ntrusted = true\n[rooms."!a:x".agents."@u:x"]\n';
const everybody = '[rooms."!a:x".agents."*"]\n';
const group = '[groups]\ng = ["@u:x"]\n[rooms."!a:x".agents."group:g"]\n';

test("what several entries allow one user adds up to the widest of each", () => {
  const text = `${user}${git}max_runtime_ms = 10\nnetwork = "allow"\nmax_memory_bytes = 5\nenv_allowlist = ["A"]\n${everybody}${git}max_runtime_ms = 20\nmax_processes = 5\nenv_allowlist = ["B"]\nmax_per_minute = 7\n`;
  expect(ask(text)).toMatchObject({
    effect: "allow",
    rule: 'policy.toml:4 rooms."!a:x".agents."@u:x"; policy.toml:12 rooms."!a:x".agents."*"',
    grant: {
      limits: { max_runtime_ms: 20, max_memory_bytes: null, max_processes: null },
      sandbox: { network: "allow" },
      env_allowlist: ["A", "B"],
      max_per_minute: null,
    },
  });
});

test("an entry that does not allow the request adds nothing to it", () => {
  const text = `${user}${git}max_runtime_ms = 10\n${everybody}allow_exec = true\nallow_commands = ["ls"]\nallow_cwd = ["/srv"]\nmax_runtime_ms = 20\nnetwork = "allow"\n`;
  expect(ask(text)).toMatchObject({
    effect: "allow",
    grant: { limits: { max_runtime_ms: 10 }, sandbox: { network: "deny", writable_paths: ["/srv/project"] } },
  });
});

test("an entry's restrictions are its own: another entry may allow what it denies", () => {
  expect(ask(`${user}${git}deny_args_regex = ["x"]\n`)).toMatchObject({ code: "args_denied" });
  expect(ask(`${user}${git}deny_args_regex = ["x"]\n${everybody}${git}`).effect).toBe("allow");
  expect(ask(`${user}${git}requires_approval = true\n`).effect).toBe("hold");
  expect(
    ask(`${user}${git}requires_approval = true\nmax_runtime_ms = 99\n${everybody}${git}max_runtime_ms = 5\n`),
  ).toMatchObject({
    effect: "allow",
    grant: { limits: { max_runtime_ms: 5 } },
  });
});

test("an entry says otherwise than [execution], and [execution] than what is built in", () => {
  const execution = '[execution]\nmax_runtime_ms = 50\nmax_concurrent = 9\nnetwork = "allow"\n';
  expect(ask(`${execution}${user}${git}max_concurrent = 2\n`)).toMatchObject({
    grant: {
      limits: { max_runtime_ms: 50, max_output_bytes: 67_108_864 },
      max_concurrent: 2,
      sandbox: { network: "allow" },
    },
  });
});

test("a group's entry is for its members alone", () => {
  const text = `${group}${git}[rooms."!a:x"]\ntrusted = true\n`;
  expect(ask(text).effect).toBe("allow");
  expect(ask(text, { user_id: "@eve:x" })).toMatchObject({ code: "user_not_listed" });
});

test("the refusal that is told is that of the entry that came furthest", () => {
  const text = `${user}allow_exec = false\n${everybody}${git}`;
  expect(ask(text, { cwd: "/etc" })).toMatchObject({
    code: "cwd_not_allowed",
    rule: 'policy.toml:9 rooms."!a:x".agents."*".allow_cwd',
  });
});

test("a room that is not trusted allows no command", () => {
  expect(ask(`[rooms."!a:x".agents."@u:x"]\n${git}`)).toMatchObject({ code: "room_not_trusted" });
});

test("raw_exec_default stands in for an entry that does not say allow_exec, and for no other", () => {
  const room = '[rooms."!a:x"]\ntrusted = true\nraw_exec_default = "allow"\n[rooms."!a:x".agents."@u:x"]\n';
  const rest = 'allow_commands = ["git"]\nallow_cwd = ["/srv/project"]\n';
  expect(ask(`${room}${rest}`).effect).toBe("allow");
  expect(ask(`${room}allow_exec = false\n${rest}`)).toMatchObject({ code: "exec_not_allowed" });
});

const none = 'sandbox = "none"\nnetwork = "allow"\n';

test("no sandbox needs allow_unsandboxed, and none at all where require_sandbox is set", () => {
  expect(ask(`${user}${git}${none}`)).toMatchObject({ reason: "sandbox_required" });
  expect(ask(`${user}${git}${none}allow_unsandboxed = true\n`)).toMatchObject({
    grant: { sandbox: { backend: "none" } },
  });
  expect(
    ask(`[execution]\nrequire_sandbox = true\n${user}${git}${none}allow_unsandboxed = true\n`),
  ).toMatchObject({ reason: "sandbox_required" });
});

test("the widest directory of allow_cwd around the working directory is writable", () => {
  const text = `${user}allow_exec = true\nallow_commands = ["git"]\nallow_cwd = ["/srv/project/deep", "/srv/link", "/tmp"]\n`;
  expect(ask(text)).toMatchObject({
    grant: { cwd: { path: "/srv/project/deep" }, sandbox: { writable_paths: ["/srv/project"] } },
  });
});

test("a project that is among read_only_paths is not writable", () => {
  const text = `${user}${git}read_only_paths = ["/srv/project"]\nwritable_paths = ["/srv/project/deep"]\n`;
  expect(ask(text)).toMatchObject({
    grant: { sandbox: { writable_paths: ["/srv/project/deep"], read_only_paths: ["/srv/project"] } },
  });
});

test("a project that lies in a read-only path is not writable, whatever directory of it is asked for", () => {
  const entry = `${user}allow_exec = true\nallow_commands = ["git"]\nallow_cwd = ["/srv/project"]\n`;
  for (const cwd of ["/srv/project", "/srv/project/deep"])
    expect(ask(`${entry}read_only_paths = ["/srv"]\n`, { cwd })).toMatchObject({
      grant: { cwd: { path: cwd }, sandbox: { writable_paths: [], read_only_paths: ["/srv"] } },
    });
});

test("a read-only path in a project stays so, unless another entry allows to write there", () => {
  const rest = 'allow_exec = true\nallow_commands = ["git"]\nallow_cwd = ["/srv/project"]\n';
  const one = `${user}${rest}read_only_paths = ["/srv/project/deep"]\n`;
  for (const cwd of ["/srv/project", "/srv/project/deep"]) {
    expect(ask(one, { cwd })).toMatchObject({
      grant: { sandbox: { writable_paths: ["/srv/project"], read_only_paths: ["/srv/project/deep"] } },
    });
    expect(ask(`${one}[rooms."!a:x".agents."*"]\n${rest}`, { cwd })).toMatchObject({
      grant: { sandbox: { writable_paths: ["/srv/project", "/srv/project/deep"], read_only_paths: [] } },
    });
  }
});

test("a request without a working directory gets the first of allow_cwd", () => {
  expect(ask(`${user}${git}`, { cwd: null })).toMatchObject({ grant: { cwd: { path: "/srv/project" } } });
  expect(ask(`${user}allow_exec = true\nallow_commands = ["git"]\n`, { cwd: null })).toMatchObject({
    code: "cwd_not_allowed",
  });
});

test("a command that another one replaced since the policy was loaded is refused", () => {
  const loaded = load(`${user}${git}`);
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "exec" as const, command: ["git"] },
    cwd: "/srv/project",
    env: {},
    timeout_ms: null,
  };
  const swapped = {
    ...machine,
    resolveCommand: () => ({ path: "/usr/bin/git", target: { path: "/usr/bin/git", dev: 1, ino: 99 } }),
  };
  expect(decide(loaded, request, swapped)).toMatchObject({
    effect: "deny",
    code: "command_changed",
    reason: "policy_denied",
  });
});

test("an allowed command that is not there is said to be not there, and another one is not", () => {
  const text = `${user}allow_exec = true\nallow_commands = ["cargo"]\nallow_cwd = ["/srv/project"]\n`;
  expect(ask(text, { ask: { kind: "exec", command: ["cargo"] } })).toMatchObject({
    code: "command_not_found",
    reason: "spawn_failed",
  });
  const installed = {
    ...machine,
    resolveCommand: () => ({
      path: "/usr/bin/cargo",
      target: { path: "/usr/bin/cargo", dev: 1, ino: 7 },
    }),
  };
  const request = { room_id: "!a:x", user_id: "@u:x", cwd: "/srv/project", env: {}, timeout_ms: null };
  const cargo = { ...request, ask: { kind: "exec" as const, command: ["cargo"] } };
  expect(decide(load(text), cargo, installed)).toMatchObject({
    code: "command_changed",
    detail: expect.stringContaining("was not there when the policy"),
  });
  expect(ask(text, { ask: { kind: "exec", command: ["rustc"] } })).toMatchObject({
    code: "command_not_allowed",
    reason: "policy_denied",
  });
});

test("a verified device is demanded of all where the room or each entry demands it, and else of that entry", () => {
  const strict = "require_verified_device = true\n";
  const demanded = (text: string) => requirements(load(text), "!a:x", "@u:x").require_verified_device;
  expect(demanded(`${user}${git}`)).toBe(false);
  expect(demanded(`${user}${git}${strict}`)).toBe(true);
  expect(demanded(`${user.replace("trusted", `${strict}trusted`)}${git}`)).toBe(true);
  const mixed = `${user}${git}${strict}${everybody}allow_tools = []\n`;
  expect(demanded(mixed)).toBe(false);
  expect(ask(mixed)).toMatchObject({ reason: "unverified_device" });
  expect(ask(mixed, { device_verified: true })).toMatchObject({
    effect: "allow",
    grant: { require_verified_device: true },
  });
});

test("what is told to the peer never names the rule", () => {
  const decision = ask(`${user}${git}`, { cwd: "/etc" });
  expect(decision.effect === "deny" && decision.detail).not.toMatch(/policy\.toml|allow_cwd|agents/);
});

test.each([
  [["push"], "hold"],
  [["-C", "x", "push", "--force"], "hold"],
  [["status", "push"], "hold"],
  [["pushes"], "allow"],
  [[], "allow"],
])("with approval needed for git push, git %j is %s", (args, effect) => {
  const text = `${user}${git}requires_approval = [{ command = "git", args = ["push"] }]\n`;
  expect(ask(text, { ask: { kind: "exec", command: ["git", ...args] } }).effect).toBe(effect);
});

test.each([
  [["remote", "x", "add"], "hold"],
  [["remote"], "allow"],
  [["add", "remote"], "allow"],
  [["add"], "allow"],
])("with approval needed for git remote … add, git %j is %s", (args, effect) => {
  const text = `${user}${git}requires_approval = [{ command = "git", args = ["remote", "add"] }]\n`;
  expect(ask(text, { ask: { kind: "exec", command: ["git", ...args] } }).effect).toBe(effect);
});

test("files of a sandboxed run have a size where none is written; without a sandbox [execution] sets none", () => {
  const unsandboxed = 'sandbox = "none"\nnetwork = "allow"\nallow_unsandboxed = true\n';
  const limit = (text: string) =>
    ask(text).effect === "allow" && Object(ask(text)).grant.limits.max_file_bytes;
  expect(limit(`${user}${git}`)).toBe(8_589_934_592);
  expect(limit(`${user}${git}max_file_bytes = 7\n`)).toBe(7);
  expect(limit(`[execution]\nmax_file_bytes = 7\n${user}${git}`)).toBe(7);
  expect(limit(`[execution]\nmax_file_bytes = 7\n${user}${git}${unsandboxed}`)).toBeNull();
});
