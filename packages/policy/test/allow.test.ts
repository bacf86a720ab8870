import { MxError } from "@mx-agent/base";
import fc from "fast-check";
import { parse } from "smol-toml";
import { expect, test } from "vitest";
import { allowAgent, decide, loadPolicy } from "../src/index.ts";
import { machine } from "./support/machine.ts";

const wanted = { room: "!a:x", user: "@u:x", commands: ["git", "ls"], cwd: ["/srv/project"] };

function allows(text: string, command = "git"): string {
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "exec" as const, command: [command] },
    cwd: "/srv/project",
    env: {},
    timeout_ms: null,
  };
  return decide(loadPolicy(text, "policy.toml", machine), request, machine).effect;
}

test("without a file a policy is written that allows this and nothing else", () => {
  const { text, diff } = allowAgent(null, wanted);
  expect(text).toBe(`version = 1

[rooms."!a:x"]
trusted = true

[rooms."!a:x".agents."@u:x"]
allow_exec = true
allow_commands = ["git", "ls"]
allow_cwd = ["/srv/project"]
`);
  expect(diff).toBe(
    `--- policy.toml\n+++ policy.toml\n@@ -0,0 +1,9 @@\n${text.trimEnd().replace(/^/gm, "+")}\n`,
  );
});

const commented = `version = 1 # first

# the room of the project
[rooms."!a:x"] # ours
approvers = ["@lead:x"]
trusted   =   false # not yet

# my machine
[rooms."!a:x".agents."@u:x"]   # me
allow_commands = [
  "npm", # for tests
  "git",
  # more to come
]
max_runtime_ms = 5 # short
`;

test("an entry is extended where it stands, and comments stay", () => {
  const { text, diff } = allowAgent(commented, wanted);
  expect(text).toBe(
    commented
      .replace("trusted   =   false # not yet", "trusted   =   true # not yet")
      .replace("# me\n", '# me\nallow_exec = true\nallow_cwd = ["/srv/project"]\n')
      .replace('"git",\n', '"git", "ls",\n'),
  );
  expect(diff).toContain('-  "git",\n+  "git", "ls",\n');
  expect([allows(text), allows(text, "ls"), allows(commented)]).toEqual(["allow", "allow", "deny"]);
});

test("what is allowed already changes nothing", () => {
  const { text } = allowAgent(commented, wanted);
  expect(allowAgent(text, wanted)).toEqual({ text, diff: "" });
});

test.each([
  ["an empty list", `[rooms."!a:x".agents."@u:x"]\nallow_commands = [ ] # none\n`],
  ["a list without spaces", `[rooms."!a:x".agents."@u:x"]\nallow_commands=["npm"]`],
  ["no line break at the end", `[rooms."!a:x"]`],
  ["another entry of the room", `[rooms."!a:x".agents."*"]\nallow_tools = []\n`],
  ["a room as an inline table's sibling", `[rooms]\n"!b:x" = { trusted = true }\n`],
  ["quoted otherwise", `[rooms.'!a:x'.agents.'@u:x']\nallow_exec = false\n`],
  ["carriage returns", `[rooms."!a:x"]\r\ntrusted = false\r\n`],
])("works on %s", (_, text) => {
  expect(allows(allowAgent(text, wanted).text)).toBe("allow");
});

test.each([
  ["a malformed policy", "x = "],
  ["a policy with a typo", "[execution]\nsandox = 1\n"],
  ["an entry in one line", `rooms = { "!a:x" = { agents = { "@u:x" = { allow_tools = [] } } } }\n`],
])("%s is left alone, with an error", (_, text) => {
  expect(() => allowAgent(text, wanted)).toThrow(MxError);
});

test("whatever is allowed is what is then in the file, and everything else is as it was", () => {
  const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(fc.array(name), fc.array(name), fc.boolean(), (commands, cwd, existing) => {
      const before = existing ? commented : "";
      const { text } = allowAgent(before, { ...wanted, commands, cwd });
      const entry = (source: string) => Object(parse(source)).rooms?.["!a:x"]?.agents?.["@u:x"] ?? {};
      const old: string[] = entry(before).allow_commands ?? [];
      const added = commands.filter((command) => !old.includes(command));
      expect(entry(text).allow_commands ?? []).toEqual([...old, ...added]);
      if (existing) for (const comment of commented.match(/#.*/g) ?? []) expect(text).toContain(comment);
    }),
  );
});
