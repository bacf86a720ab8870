import { expect, test } from "vitest";
import { decide, loadPolicy, type Problem } from "../src/index.ts";
import { machine, paperMachine } from "./support/machine.ts";

function problems(text: string, on = machine): Problem[] {
  const loaded = loadPolicy(text, "policy.toml", on);
  return loaded.state === "invalid" ? loaded.problems : [];
}

const room = '[rooms."!a:x"]\ntrusted = true\n';
const entry = `${room}[rooms."!a:x".agents."@u:x"]\nallow_exec = true\n`;

test("an empty file is a policy that allows nothing", () => {
  expect(loadPolicy("", "policy.toml", machine).state).toBe("ok");
});

test.each<[string, string, number, string, RegExp]>([
  ["a missing quote", 'version = 1\n[groups]\na = ["@a:x]\n', 3, "groups.a", /not TOML/],
  ["a missing quote in a table", `${room}[rooms."!b:x]\n`, 3, 'rooms."!b:x', /not TOML/],
  ["a missing bracket", `${entry}allow_cwd = ["/a"\n`, 6, 'rooms."!a:x".agents."@u:x".allow_cwd', /not TOML/],
  ["a table twice", `${room}${room}`, 3, 'rooms."!a:x"', /redefine/],
  ["a prototype key", "[groups]\n__proto__ = []\n", 2, "groups.__proto__", /unsafe/],
  ["a typo in a key", "[execution]\nsandox = 'none'\n", 2, "execution.sandox", /did you mean "sandbox"/],
  ["a typo in a table", '[room."!a:x"]\n', 1, "room", /did you mean "rooms"/],
  [
    "a typo in an entry",
    `${entry}allow_comands = ["git"]\n`,
    5,
    'rooms."!a:x".agents."@u:x".allow_comands',
    /did you mean "allow_commands"/,
  ],
  [
    "a typo in a value",
    "[execution]\nsandbox = 'bublewrap'\n",
    2,
    "execution.sandbox",
    /did you mean "bubblewrap"/,
  ],
  [
    "a typo in a group's name",
    '[groups]\nbuilders = []\n[rooms."!a:x".agents."group:bulders"]\n',
    3,
    'rooms."!a:x".agents."group:bulders"',
    /did you mean "builders"/,
  ],
  [
    "a wrong type",
    "[execution]\nenv_allowlist = 'CI'\n",
    2,
    "execution.env_allowlist",
    /must be a list, and is "CI"/,
  ],
  [
    "a wrong type in a list",
    "[execution]\nenv_allowlist = [\n'A',\n1]\n",
    4,
    "execution.env_allowlist[1]",
    /must be text/,
  ],
  [
    "a limit of zero",
    "[execution]\nmax_runtime_ms = 0\n",
    2,
    "execution.max_runtime_ms",
    /greater than zero/,
  ],
  [
    "a limit that is no whole number",
    "[execution]\nmax_runtime_ms = 1.5\n",
    2,
    "execution.max_runtime_ms",
    /whole number/,
  ],
  ["infinity as a limit", "[execution]\nmax_runtime_ms = inf\n", 2, "execution.max_runtime_ms", /too large/],
  [
    "a limit beyond 2^53",
    "[execution]\nmax_output_bytes = 9007199254740993\n",
    2,
    "execution.max_output_bytes",
    /too large/,
  ],
  ["a date", "version = 2026-01-01\n", 1, "version", /dates and times/],
  [
    "an impossible date inside a schema",
    "[tools.t]\ninput = { x = [2026-02-30] }\n",
    2,
    "tools.t.input.x[0]",
    /dates and times/,
  ],
  ["another version", "version = 2\n", 1, "version", /must be 1/],
  ["a room that is no room id", '[rooms."#a:x"]\n', 1, 'rooms."#a:x"', /no room id/],
  [
    "an agent that is no user",
    '[rooms."!a:x".agents."alice"]\n',
    1,
    'rooms."!a:x".agents.alice',
    /neither a Matrix user/,
  ],
  ["a group in a group", "[groups]\na = ['group:b']\n", 2, "groups.a[0]", /no Matrix user/],
  [
    "an approver that is nobody",
    '[rooms."!a:x"]\napprovers = ["lead"]\n',
    2,
    'rooms."!a:x".approvers[0]',
    /neither/,
  ],
  [
    "a relative directory",
    `${entry}allow_cwd = ["srv/project"]\n`,
    5,
    'rooms."!a:x".agents."@u:x".allow_cwd[0]',
    /absolute/,
  ],
  [
    "a directory with ..",
    `${entry}allow_cwd = ["/srv/../etc"]\n`,
    5,
    'rooms."!a:x".agents."@u:x".allow_cwd[0]',
    /absolute path without/,
  ],
  [
    "a relative command",
    `${entry}allow_commands = ["bin/x"]\n`,
    5,
    'rooms."!a:x".agents."@u:x".allow_commands[0]',
    /bare name or an absolute path/,
  ],
  [
    "a command with wildcards",
    `${entry}allow_commands = ["*"]\n`,
    5,
    'rooms."!a:x".agents."@u:x".allow_commands[0]',
    /no wildcards/,
  ],
  [
    "a relative read-only path",
    "[execution]\nread_only_paths = ['usr']\n",
    2,
    "execution.read_only_paths[0]",
    /absolute/,
  ],
  [
    "a pattern that RE2 does not have",
    `${entry}deny_args_regex = ['(?=x)']\n`,
    5,
    'rooms."!a:x".agents."@u:x".deny_args_regex[0]',
    /no RE2 pattern/,
  ],
  [
    "a back-reference",
    `${entry}deny_args_regex = ['(a)\\1']\n`,
    5,
    'rooms."!a:x".agents."@u:x".deny_args_regex[0]',
    /no RE2 pattern/,
  ],
  [
    "none with network denied",
    `${entry}sandbox = "none"\nnetwork = "deny"\n`,
    6,
    'rooms."!a:x".agents."@u:x".network',
    /cannot deny the network/,
  ],
  [
    "none with network denied in [execution]",
    `[execution]\nnetwork = "deny"\n${entry}sandbox = "none"\n`,
    7,
    'rooms."!a:x".agents."@u:x".sandbox',
    /which \[execution\] does/,
  ],
  [
    "none and network denied, both in [execution]",
    `[execution]\nsandbox = "none"\nnetwork = "deny"\n`,
    2,
    "execution.sandbox",
    /cannot deny the network/,
  ],
  [
    "none and a size of files",
    `${entry}sandbox = "none"\nnetwork = "allow"\nmax_file_bytes = 5\n`,
    7,
    'rooms."!a:x".agents."@u:x".max_file_bytes',
    /cannot be limited without a sandbox/,
  ],
  [
    "none and a size of files, both in [execution]",
    `[execution]\nsandbox = "none"\nmax_file_bytes = 5\n`,
    3,
    "execution.max_file_bytes",
    /cannot be limited without a sandbox/,
  ],
  [
    "a sandbox of the first implementation that is gone",
    "[execution]\ndefault_sandbox = 'firejail'\n",
    2,
    "execution.default_sandbox",
    /not a sandbox of this version/,
  ],
  [
    "a sandbox that is not there yet",
    `${entry}sandbox = "container"\n`,
    5,
    'rooms."!a:x".agents."@u:x".sandbox',
    /not a sandbox of this version/,
  ],
  [
    "two names for one thing",
    "[execution]\nsandbox = 'bubblewrap'\ndefault_sandbox = 'none'\n",
    3,
    "execution.default_sandbox",
    /older name/,
  ],
  [
    "a key of the first implementation that is gone",
    "[execution]\nseccomp = 'on'\n",
    2,
    "execution.seccomp",
    /no seccomp mode/,
  ],
  [
    "a variable with =",
    "[execution]\nenv_allowlist = ['A=b']\n",
    2,
    "execution.env_allowlist[0]",
    /no name of a variable/,
  ],
  [
    "an empty approval",
    `${entry}requires_approval = [{}]\n`,
    5,
    'rooms."!a:x".agents."@u:x".requires_approval[0]',
    /must name/,
  ],
  [
    "a typo in an approval",
    `${entry}requires_approval = [{ comand = "git" }]\n`,
    5,
    'rooms."!a:x".agents."@u:x".requires_approval[0].comand',
    /did you mean "command"/,
  ],
  [
    "an approval that is neither",
    `${entry}requires_approval = "yes"\n`,
    5,
    'rooms."!a:x".agents."@u:x".requires_approval',
    /wrong kind/,
  ],
  [
    "a tool selector that is none",
    `${entry}allow_tools = ["a@latest"]\n`,
    5,
    'rooms."!a:x".agents."@u:x".allow_tools[0]',
    /neither NAME nor NAME@VERSION/,
  ],
  ["a test without a request", '[[test]]\nname = "x"\nexpect = "deny"\n', 1, "test[0].request", /is missing/],
  [
    "a test that expects an unknown code",
    '[[test]]\nname = "x"\nrequest = { room = "!a:x", user = "@u:x", command = ["a"] }\nexpect = "deny:comand_not_allowed"\n',
    4,
    "test[0].expect",
    /did you mean "command_not_allowed"/,
  ],
  [
    "a test that asks for two things",
    '[[test]]\nname = "x"\nrequest = { room = "!a:x", user = "@u:x", command = ["a"], tool = "b" }\nexpect = "deny"\n',
    3,
    "test[0].request",
    /not both/,
  ],
])("%s is a problem with its line and key", (_, text, line, key, message) => {
  const found = problems(text);
  expect(found.map((problem) => [problem.line, problem.key, problem.file])).toContainEqual([
    line,
    key,
    "policy.toml",
  ]);
  expect(found.find((problem) => problem.key === key)?.message).toMatch(message);
});

test("nesting that is deeper than the stack is a problem, and no crash", () => {
  expect(problems(`a = ${"[".repeat(100_000)}`)).toHaveLength(1);
});

test("every problem of a file is told at once, in the order of its lines", () => {
  const text = `${room}[rooms."!a:x".agents."bob"]\nallow_cwd = ["x", "y"]\ndeny_args_regex = ["("]\n`;
  expect(problems(text).map((problem) => problem.line)).toEqual([3, 4, 4, 5]);
});

const private_paths = ["/home/operator/.config/mx-agent", "/run/user/1000/mx-agent"];
const own = paperMachine({
  directories: ["/home/operator", "/home/operator/code", "/run/user/1000"],
  private_paths,
});

test.each([
  ["allow_cwd", "/home/operator"],
  ["allow_cwd", "/"],
  ["allow_cwd", "~/.config/mx-agent/sub"],
  ["writable_paths", "/run/user/1000"],
  ["read_only_paths", "/"],
])("%s = %s would show a run our own directories, and is a problem", (key, path) => {
  expect(problems(`${entry}${key} = ["${path}"]\n`, own)[0]?.message).toMatch(/no run may see/);
});

test("a tool in our own directories is a problem, also where a link leads there", () => {
  const linked = paperMachine({
    directories: ["/home/operator/.config/mx-agent"],
    links: { "/srv/tool": "/home/operator/.config/mx-agent", "/cfg": "/home/operator/.config" },
    private_paths: ["/cfg/mx-agent"],
  });
  const text = '[tools.t]\nversion = "1.0.0"\ncommand = ["git"]\ncwd = "/srv/tool"\n';
  expect(problems(text, linked)).toMatchObject([{ line: 4, key: "tools.t.cwd" }]);
});

test("a directory beside our own ones is no problem, and ~ is the home", () => {
  expect(problems(`${entry}allow_cwd = ["~/code"]\n`, own)).toEqual([]);
});

test("a malformed file denies everything, with file, line and key for the peer as well", () => {
  const loaded = loadPolicy(`${entry}allow_comands = []\n`, "/etc/mx/policy.toml", machine);
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "exec" as const, command: ["git"] },
    cwd: null,
    env: {},
    timeout_ms: null,
  };
  expect(decide(loaded, request, machine)).toMatchObject({
    effect: "deny",
    reason: "policy_denied",
    code: "policy_invalid",
    rule: '/etc/mx/policy.toml:5 rooms."!a:x".agents."@u:x".allow_comands',
    detail: expect.stringContaining('policy.toml:5 rooms."!a:x".agents."@u:x".allow_comands'),
  });
  expect(decide(loadPolicy(null, "/etc/mx/policy.toml", machine), request, machine)).toMatchObject({
    code: "policy_missing",
  });
});
