import { expect, test } from "vitest";
import { checkPolicy, type Decision, decide, loadPolicy } from "../src/index.ts";
import { machine } from "./support/machine.ts";

// A policy as the first implementation documents it, with every key that it knows.
const text = `
[execution]
default_sandbox = "bubblewrap"
network = "deny"
read_only_paths = ["/etc"]
writable_paths = ["/tmp"]
env_allowlist = ["CI"]
max_processes = 10
max_memory_bytes = 1000
max_cpu_seconds = 60
require_sandbox = true

[rooms."!a:x"]
trusted = true
raw_exec_default = "deny"
require_verified_device = true
approvers = ["@lead:x"]

[rooms."!a:x".agents."@claude:x"]
allow_exec = true
allow_tools = ["run_tests"]
allow_commands = ["npm", "/usr/bin/git"]
allow_cwd = ["/srv/project"]
deny_args_regex = ["rm\\\\s+-rf\\\\s+/", "ssh"]
max_runtime_ms = 900000
max_output_bytes = 5000000
requires_approval = false
require_verified_device = false
sandbox = "bubblewrap"
network = "deny"
max_processes = 5
max_memory_bytes = 500
max_cpu_seconds = 30
`;
const loaded = loadPolicy(text, "policy.toml", machine);

function ask(command: string[], cwd = "/srv/project"): Decision {
  return decide(
    loaded,
    { room_id: "!a:x", user_id: "@claude:x", ask: { kind: "exec", command }, cwd, env: {}, timeout_ms: null },
    machine,
  );
}

test("every key of the first implementation loads, and keeps its meaning", () => {
  expect(loaded.state).toBe("ok");
  expect(ask(["npm", "test"])).toMatchObject({
    effect: "allow",
    approvers: ["@lead:x"],
    grant: {
      limits: {
        max_runtime_ms: 900_000,
        max_output_bytes: 5_000_000,
        max_memory_bytes: 500,
        max_processes: 5,
        max_cpu_seconds: 30,
      },
      sandbox: {
        backend: "bubblewrap",
        network: "deny",
        read_only_paths: ["/etc"],
        writable_paths: ["/srv/project", "/tmp"],
      },
      env_allowlist: ["CI"],
      require_verified_device: true,
    },
  });
});

test.each([
  ["anywhere in an argument", ["git", "--with=ssh://x"]],
  ["over several arguments", ["npm", "run", "rm", "-rf", "/"]],
  ["in the command's own name", ["/usr/bin/git", "clone", "ssh"]],
])("without a version deny_args_regex denies %s", (_, command) => {
  expect(ask(command)).toMatchObject({ effect: "deny", code: "args_denied" });
});

test("with a version it denies whole arguments", () => {
  const newer = loadPolicy(`version = 1\n${text.replace('"rm', '".*rm')}`, "policy.toml", machine);
  const request = {
    room_id: "!a:x",
    user_id: "@claude:x",
    ask: { kind: "exec" as const, command: ["git", "--with=ssh://x"] },
    cwd: "/srv/project",
    env: {},
    timeout_ms: null,
  };
  expect(decide(newer, request, machine).effect).toBe("allow");
  expect(
    decide(newer, { ...request, ask: { kind: "exec", command: ["git", "ssh"] } }, machine),
  ).toMatchObject({ code: "args_denied" });
});

test("what changed is said by policy check", () => {
  const warnings = checkPolicy(loaded, machine, {
    bubblewrap: { available: true },
    limits: { kind: "cgroup" },
  });
  expect(warnings.map((warning) => warning.code)).toContain("first_implementation");
});

test("default_sandbox = none loads; what it would run is refused until the operator says so in the entry", () => {
  const none = text
    .replace('"bubblewrap"\nnetwork = "deny"\nread', '"none"\nnetwork = "allow"\nread')
    .replace("require_sandbox = true", "")
    .replace('sandbox = "bubblewrap"\nnetwork = "deny"\n', "");
  const open = loadPolicy(none, "policy.toml", machine);
  const request = {
    room_id: "!a:x",
    user_id: "@claude:x",
    ask: { kind: "exec" as const, command: ["git"] },
    cwd: "/srv/project",
    env: {},
    timeout_ms: null,
  };
  expect(decide(open, request, machine)).toMatchObject({ reason: "sandbox_required" });
  const warnings = checkPolicy(open, machine, {
    bubblewrap: { available: true },
    limits: { kind: "cgroup" },
  });
  expect(warnings.find((warning) => warning.code === "unsandboxed")?.message).toMatch(
    /allow_unsandboxed = true/,
  );
});
