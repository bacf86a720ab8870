import { expect, test } from "vitest";
import { type Decision, decide, loadPolicy, type PolicyRequest } from "../src/index.ts";
import { machine } from "./support/machine.ts";

const policy = loadPolicy(
  `version = 1
[execution]
sandbox = "bubblewrap"
network = "deny"
env_allowlist = ["CI"]
max_runtime_ms = 60_000

[groups]
builders = ["@ci:x", "@alice:x"]

[rooms."!a:x"]
trusted = true
approvers = ["@lead:x"]

[rooms."!a:x".agents."group:builders"]
allow_exec = true
allow_commands = ["git", "ls", "pgrep"]
allow_cwd = ["/srv/project"]
deny_args_regex = ['--upload-pack=.*']
requires_approval = [{ command = "git", args = ["push"] }]
`,
  "policy.toml",
  machine,
);

function ask(command: string[], over: Partial<PolicyRequest> = {}): Decision {
  return decide(
    policy,
    {
      room_id: "!a:x",
      user_id: "@ci:x",
      ask: { kind: "exec", command },
      cwd: "/srv/project",
      env: {},
      timeout_ms: null,
      ...over,
    },
    machine,
  );
}

test("an allowed command in an allowed directory is allowed, with the limits of the policy", () => {
  expect(ask(["git", "status"])).toMatchObject({
    effect: "allow",
    grant: {
      executable: { path: "/usr/bin/git" },
      argv: ["/usr/bin/git", "status"],
      cwd: { path: "/srv/project" },
      limits: { max_runtime_ms: 60_000, max_memory_bytes: null },
      sandbox: { backend: "bubblewrap", network: "deny", writable_paths: ["/srv/project"] },
    },
  });
});

test.each<[string, string[], Partial<PolicyRequest>, string]>([
  ["a command that is not listed", ["sh", "-c", "id"], {}, "command_not_allowed"],
  ["a command of the same name elsewhere", ["/tmp/git"], {}, "command_not_allowed"],
  ["a link in the project to an allowed command", ["./git"], {}, "command_not_allowed"],
  ["another face of a multi-call binary", ["ash"], {}, "command_not_allowed"],
  ["the multi-call binary itself", ["busybox", "sh"], {}, "command_not_allowed"],
  ["pkill where pgrep is allowed", ["pkill", "x"], {}, "command_not_allowed"],
  ["no command", [], {}, "command_invalid"],
  ["a NUL byte", ["git", "a\0b"], {}, "command_invalid"],
  ["a directory outside", ["git"], { cwd: "/etc" }, "cwd_not_allowed"],
  ["a directory through ..", ["git"], { cwd: "/srv/project/../../etc" }, "cwd_not_allowed"],
  ["a directory through a link", ["git"], { cwd: "/srv/project/out" }, "cwd_not_allowed"],
  ["a directory that begins the same", ["git"], { cwd: "/srv/project-old" }, "cwd_not_allowed"],
  ["a directory above", ["git"], { cwd: "/srv" }, "cwd_not_allowed"],
  ["a relative directory", ["git"], { cwd: "srv/project" }, "cwd_not_allowed"],
  ["a denied argument", ["git", "clone", "--upload-pack=sh\n-c"], {}, "args_denied"],
  ["a variable that is not listed", ["git"], { env: { FOO: "1" } }, "env_override_not_allowed"],
  ["LD_PRELOAD", ["git"], { env: { LD_PRELOAD: "/x.so" } }, "env_override_not_allowed"],
  ["another room", ["git"], { room_id: "!b:x" }, "room_not_listed"],
  ["another user", ["git"], { user_id: "@eve:x" }, "user_not_listed"],
])("%s is denied", (_, command, over, code) => {
  expect(ask(command, over)).toMatchObject({ effect: "deny", code });
});

test("an allowed command by its path through a linked directory is the same command", () => {
  expect(ask(["/bin/git"]).effect).toBe("allow");
});

test("a push is held for the approvers", () => {
  expect(ask(["git", "-C", "deep", "push"])).toMatchObject({ effect: "hold", approvers: ["@lead:x"] });
});

test("what needs an approval needs it under every name that leads to its file, and what is not there under its own", () => {
  const held = (rules: string, command: string[]) =>
    decide(
      loadPolicy(
        `version = 1
[rooms."!a:x"]
trusted = true
[rooms."!a:x".agents."*"]
allow_exec = true
allow_commands = ["git", "/srv/project/git", "/tmp/git", "pgrep", "pkill", "ls"]
allow_cwd = ["/srv/project"]
requires_approval = [${rules}]
`,
        "policy.toml",
        machine,
      ),
      {
        ...{ room_id: "!a:x", user_id: "@ci:x", ask: { kind: "exec", command } },
        ...{ cwd: "/srv/project", env: {}, timeout_ms: null },
      },
      machine,
    ).effect;
  const push = '{ command = "git", args = ["push"] }';
  expect(held(push, ["git", "push"])).toBe("hold");
  expect(held(push, ["./git", "push"])).toBe("hold");
  expect(held(push, ["./git", "pull"])).toBe("allow");
  // Another file of that name is another program.
  expect(held(push, ["/tmp/git", "push"])).toBe("allow");
  expect(held('{ command = "pgrep" }', ["pkill", "x"])).toBe("hold");
  expect(held('{ command = "pkill" }', ["pgrep", "x"])).toBe("hold");
  expect(held('{ command = "pkill" }', ["ls"])).toBe("allow");
  expect(held('{ command = "/opt/absent/ls" }', ["ls"])).toBe("hold");
  expect(held('{ command = "busybox" }', ["ls"])).toBe("hold");
});

test("less time than granted is what was asked, and more is what is granted", () => {
  expect(ask(["git"], { timeout_ms: 5 })).toMatchObject({ grant: { limits: { max_runtime_ms: 5 } } });
  expect(ask(["git"], { timeout_ms: 1e9 })).toMatchObject({ grant: { limits: { max_runtime_ms: 60_000 } } });
});
