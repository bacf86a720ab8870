import { expect, test } from "vitest";
import {
  type Capabilities,
  checkPolicy,
  denyCodes,
  loadPolicy,
  policyReference,
  testPolicy,
} from "../src/index.ts";
import * as schema from "../src/schema.ts";
import { machine, paperMachine } from "./support/machine.ts";

const able: Capabilities = { bubblewrap: { available: true }, limits: { kind: "cgroup" } };

function warnings(text: string, capabilities = able, on = machine): string[] {
  const loaded = loadPolicy(`version = 1\n${text}`, "policy.toml", on);
  if (loaded.state !== "ok") throw new Error(JSON.stringify(loaded));
  return checkPolicy(loaded, on, capabilities).map(({ line, code, message }) => `${line} ${code} ${message}`);
}

const fine = `[rooms."!a:x"]
trusted = true
approvers = ["@lead:x"]
[rooms."!a:x".agents."@u:x"]
allow_exec = true
allow_commands = ["git"]
allow_cwd = ["/srv/project"]
`;

test("a policy in order has no warnings", () => {
  expect(warnings(fine)).toEqual([]);
});

test.each<[string, string, RegExp]>([
  [
    "an interpreter without a sandbox",
    `${fine}sandbox = "none"\nnetwork = "allow"\nallow_unsandboxed = true\n`,
    /^7 launcher "git" runs whatever it is told/,
  ],
  [
    "no sandbox",
    `${fine}sandbox = "none"\nnetwork = "allow"\nallow_unsandboxed = true\n`,
    /^11 unsandboxed whatever @u:x may run/,
  ],
  [
    "a limit of [execution] that holds only in a sandbox",
    `[execution]\nmax_file_bytes = 7\n${fine}sandbox = "none"\nnetwork = "allow"\nallow_unsandboxed = true\n`,
    /unsandboxed max_file_bytes of \[execution\] is not held/,
  ],
  ["no sandbox, not allowed", `${fine}sandbox = "none"\nnetwork = "allow"\n`, /^9 unsandboxed is refused/],
  [
    "no sandbox, where one is required",
    `[execution]\nrequire_sandbox = true\n${fine}sandbox = "none"\nnetwork = "allow"\n`,
    /^11 unsandboxed is refused: require_sandbox/,
  ],
  ["allow_unsandboxed for nothing", `${fine}allow_unsandboxed = true\n`, /^9 unused/],
  ["a command that is not there", fine.replace('"git"', '"cargo"'), /^7 not_found "cargo" is not there/],
  ["a directory that is not there", fine.replace("/srv/project", "/srv/absent"), /^8 not_found/],
  ["a path that is not there", `[execution]\nread_only_paths = ["/opt/x"]\n${fine}`, /^3 not_found/],
  [
    "a command that a run may replace",
    fine.replace('"git"', '"/srv/project/run.sh"'),
    /^7 writable_command lies in \/srv\/project/,
  ],
  [
    "exec in a room that is not trusted",
    fine.replace("trusted = true\n", ""),
    /^5 unused allows nothing: the room is not trusted/,
  ],
  ["commands without exec", fine.replace("allow_exec = true\n", ""), /^6 unused allows nothing: allow_exec/],
  [
    "commands without directories",
    fine.replace('allow_cwd = ["/srv/project"]\n', ""),
    /^7 unused allows nothing: allow_cwd/,
  ],
  [
    "exec without commands",
    fine.replace('allow_commands = ["git"]\n', ""),
    /^6 unused allows nothing: allow_commands/,
  ],
  ["a tool that is nowhere", `${fine}allow_tools = ["t@2"]\n`, /^9 not_found no \[tools\] table/],
  [
    "a secret in env_allowlist",
    `${fine}env_allowlist = ["CI", "GITHUB_TOKEN"]\n`,
    /^9 environment GITHUB_TOKEN is a name of secrets/,
  ],
  [
    "LD_PRELOAD in env_allowlist",
    `${fine}env_allowlist = ["LD_PRELOAD"]\n`,
    /^9 environment LD_PRELOAD is inherited/,
  ],
  [
    "approval without approvers",
    `${fine.replace('approvers = ["@lead:x"]\n', "")}requires_approval = true\n`,
    /^8 unused the room has no approvers/,
  ],
  ["a group that nobody uses", `[groups]\ng = []\n${fine}`, /^3 unused nothing names this group/],
  [
    "a tool that nobody may call",
    `${fine}[tools.t]\nversion = "1.0.0"\ncommand = ["git"]\ncwd = "/srv/project"\n`,
    /^9 unused no entry's allow_tools/,
  ],
  [
    "two entries for one user and command",
    `${fine}[rooms."!a:x".agents."*"]\nallow_exec = true\nallow_commands = ["git"]\nallow_cwd = ["/srv/project"]\nmax_runtime_ms = 5\n`,
    /^5 overlap adds to policy\.toml:9/,
  ],
])("%s is warned of, with its line", (_, text, expected) => {
  expect(warnings(text)).toContainEqual(expect.stringMatching(expected));
});

const tool = (property: string) => `${fine}allow_tools = ["t"]
[tools.t]
version = "1.0.0"
cwd = "/srv/project"
command = ["git", "{p}"]
input = { type = "object", properties = { p = ${property} }, additionalProperties = false }
`;

test.each([
  ['{ type = "string" }', true],
  ['{ type = "string", pattern = "[a-z]+" }', true],
  ['{ type = "string", pattern = "^[a-z-]+$" }', true],
  ['{ type = "string", pattern = "^[a-z][a-z-]*$" }', false],
  ['{ enum = ["a", "b"] }', false],
  ['{ enum = ["a", "-b"] }', true],
  ['{ type = "integer", minimum = 0 }', false],
  ['{ type = "integer" }', true],
  ['{ type = "array", items = { type = "string" } }', true],
])("a tool argument that is %s: it could be an option is %s", (property, vague) => {
  expect(warnings(tool(property)).some((warning) => warning.includes("could pass an option"))).toBe(vague);
});

test("a command in a project that runs may only read is not warned of, and one in a part that they may write is", () => {
  const inside = fine.replace('["git"]', '["/srv/project/run.sh"]');
  const shown = (paths: string) => warnings(`[execution]\n${paths}\n${inside}`).join();
  expect(shown("")).toMatch(/writable_command lies in \/srv\/project/);
  expect(shown('read_only_paths = ["/srv/project"]')).not.toContain("writable_command");
  expect(shown('read_only_paths = ["/srv"]')).not.toContain("writable_command");
  const deeper = inside.replace("/srv/project/run.sh", "/srv/project/git");
  const both = 'read_only_paths = ["/srv"]\nwritable_paths = ["/srv/project"]';
  expect(warnings(`[execution]\n${both}\n${deeper}`).join()).toContain("writable_command");
});

test("a PATH of the daemon inside what runs may write is warned of", () => {
  const on = paperMachine({
    commands: { "/usr/bin/git": "" },
    directories: ["/srv/project", "/srv/project/bin"],
    path: "/srv/project/bin:/usr/bin",
  });
  expect(warnings(fine, able, on)).toContainEqual(
    expect.stringMatching(/writable_command \/srv\/project\/bin is in the daemon's PATH/),
  );
});

test("what this machine cannot do is warned of", () => {
  expect(
    warnings(`${fine}max_processes = 5\n`, {
      bubblewrap: { available: false, reason: "no bwrap" },
      limits: { kind: "watch", reason: "no cgroup" },
    }),
  ).toEqual([
    expect.stringMatching(/^5 machine every run of it is refused: .*no bwrap/),
    expect.stringMatching(/^5 machine limits of memory and processes are watched here.*no cgroup/),
  ]);
});

test("a [[test]] passes when the decision is what it expects, and else says what it was", () => {
  const block = (expected: string, command = '["sh"]') =>
    `[[test]]\nname = "n"\nrequest = { room = "!a:x", user = "@u:x", command = ${command}, cwd = "/srv/project" }\nexpect = "${expected}"\n`;
  const loaded = loadPolicy(
    `${fine}${block("deny")}${block("deny:command_not_allowed")}${block("deny:args_denied")}${block("allow", '["git"]')}${block("hold", '["git"]')}`,
    "policy.toml",
    machine,
  );
  expect(testPolicy(loaded, machine).map(({ line, passed, actual }) => [line, passed, actual])).toEqual([
    [8, true, "deny:command_not_allowed"],
    [12, true, "deny:command_not_allowed"],
    [16, false, "deny:command_not_allowed"],
    [20, true, "allow"],
    [24, false, "allow"],
  ]);
});

test("the reference has every key, with its meaning, and every code", () => {
  const text = policyReference();
  for (const table of [
    schema.document,
    schema.execution,
    schema.room,
    schema.agent,
    schema.approval,
    schema.tool,
    schema.test,
  ]) {
    for (const key of Object.keys(table.shape))
      expect(text).toMatch(new RegExp(`^\\| \`${key}\` \\| [^|]+ \\| .{5,} \\|$`, "m"));
  }
  for (const code of Object.keys(denyCodes)) expect(text).toContain(`| \`${code}\` |`);
});
