import { expect, test } from "vitest";
import { type Decision, decide, loadPolicy, type Permission, tools } from "../src/index.ts";
import { machine } from "./support/machine.ts";

const head = `version = 1
[rooms."!a:x".agents."@u:x"]
allow_tools = ["t"]
`;

function withTool(body: string, allow = head) {
  return loadPolicy(
    `${allow}[tools.t]\nversion = "1.2.3"\ncwd = "/srv/project"\n${body}`,
    "policy.toml",
    machine,
  );
}

function call(body: string, args: Record<string, unknown>, tool = "t", allow = head): Decision {
  const loaded = withTool(body, allow);
  if (loaded.state === "invalid") throw new Error(JSON.stringify(loaded.problems));
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "call" as const, tool, args },
    cwd: "/etc",
    env: {},
    timeout_ms: null,
  };
  return decide(loaded, request, machine);
}

function argv(decision: Decision): string[] | undefined {
  return decision.effect === "deny" ? undefined : decision.grant.argv.slice(1);
}

function problem(body: string): string | undefined {
  const loaded = withTool(body);
  return loaded.state === "invalid"
    ? `${loaded.problems[0]?.line} ${loaded.problems[0]?.key} ${loaded.problems[0]?.message}`
    : undefined;
}

const one = `input = { type = "object", properties = { p = { type = "string" }, n = { type = "integer", default = 3 }, list = { type = "array", items = { type = "string" } }, b = { type = "boolean" } }, required = ["p"], additionalProperties = false }\n`;

test("a tool runs its command in its own directory, in a room that is trusted with no commands", () => {
  expect(call(`${one}command = ["npm", "test", "-w", "{p}"]`, { p: "policy" })).toMatchObject({
    effect: "allow",
    grant: {
      executable: { path: "/usr/lib/node_modules/npm/bin/npm-cli.js" },
      argv: ["/usr/bin/npm", "test", "-w", "policy"],
      cwd: { path: "/srv/project" },
      sandbox: { writable_paths: ["/srv/project"] },
      tool: { name: "t", version: "1.2.3", output: "text" },
    },
  });
});

test.each<[string, string, Record<string, unknown>, string[]]>([
  ["a whole argument", '"{p}"', { p: "a b; $(id)" }, ["a b; $(id)"]],
  ["a part of an argument", '"--x={p}.js"', { p: "../a" }, ["--x=../a.js"]],
  ["several in one argument", '"{p}-{n}"', { p: "a", n: 1 }, ["a-1"]],
  ["a default of the schema", '"{n}"', { p: "a" }, ["3"]],
  ["a boolean", '"--b={b}"', { p: "a", b: false }, ["--b=false"]],
  ["an empty text", '"{p}"', { p: "" }, [""]],
  ["a list, as many arguments", '"{list}"', { p: "a", list: ["x y", "z"] }, ["x y", "z"]],
  ["an empty list, as none", '"{list}"', { p: "a", list: [] }, []],
  ["braces", '"{{p}}", "{{{p}}}"', { p: "a" }, ["{p}", "{a}"]],
  ["a missing argument, left out", '"x", "--b={b}", "y"', { p: "a" }, ["x", "y"]],
  ["a missing argument, left out with its group", '["--b", "{b}"], "y"', { p: "a" }, ["y"]],
  ["a group that is there", '["--b", "{b}"], "y"', { p: "a", b: true }, ["--b", "true", "y"]],
  ["a value that looks like a placeholder", '"{p}"', { p: "{n}" }, ["{n}"]],
])("%s fills in without a shell", (_, template, args, expected) => {
  expect(argv(call(`${one}command = ["npm", ${template}]`, args))).toEqual(expected);
});

test.each<[string, Record<string, unknown>]>([
  ["a missing required argument", {}],
  ["a wrong type", { p: 1 }],
  ["null", { p: null }],
  ["an object", { p: { toString: "x" } }],
  ["another argument", { p: "a", q: "b" }],
  ["a NUL byte", { p: "a\0b" }],
  ["a prototype key", JSON.parse('{"p":"a","__proto__":"x"}')],
  ["an inherited name", { p: "a", constructor: "x" }],
])("%s is tool_input_invalid", (_, args) => {
  expect(call(`${one}command = ["npm", "{p}"]`, args)).toMatchObject({
    effect: "deny",
    reason: "tool_input_invalid",
  });
});

test("a pattern in a schema is RE2: one that backtracks elsewhere answers at once", () => {
  const body = `input = { type = "object", properties = { p = { type = "string", pattern = "^(a+)+$" } }, required = ["p"] }\ncommand = ["npm", "{p}"]`;
  expect(call(body, { p: `${"a".repeat(20_000)}b` })).toMatchObject({ reason: "tool_input_invalid" });
  expect(call(body, { p: "aaa" }).effect).toBe("allow");
});

test("each argument is held to its own pattern, whatever others there are, in this tool and in those before it", () => {
  const of = (p: string, q: string) =>
    `input = { type = "object", properties = { p = { type = "string", pattern = "${p}" }, q = { type = "string", pattern = "${q}" } }, patternProperties = { "^x" = { type = "string", pattern = "^x$" } }, additionalProperties = false }\ncommand = ["npm", "{p}", "{q}"]`;
  const loose = of("^.*$", "^[a-z]+$");
  expect(call(loose, { p: "../x", q: "abc" }).effect).toBe("allow");
  expect(call(loose, { p: "abc", q: "../x" })).toMatchObject({ reason: "tool_input_invalid" });
  expect(call(loose, { xa: "x" }).effect).toBe("allow");
  expect(call(loose, { ax: "x" })).toMatchObject({ reason: "tool_input_invalid" });
  expect(call(loose, { xa: "abc" })).toMatchObject({ reason: "tool_input_invalid" });
  const tightened = of("^[0-9]$", "^a b$");
  expect(call(tightened, { p: "../x" })).toMatchObject({ reason: "tool_input_invalid" });
  expect(call(tightened, { q: "abc" })).toMatchObject({ reason: "tool_input_invalid" });
  expect(argv(call(tightened, { p: "7", q: "a b" }))).toEqual(["7", "a b"]);
});

test.each([
  ["t", "allow"],
  ["t@1", "allow"],
  ["t@1.2", "allow"],
  ["t@1.2.3", "allow"],
  ["t@1.2.30", "tool_not_found"],
  ["t@2", "tool_not_found"],
  ["t@1.", "tool_not_found"],
  ["other", "tool_not_found"],
  ["t@", "tool_not_found"],
  ["__proto__", "tool_not_found"],
])("a call of %s is %s", (tool, expected) => {
  const decision = call('command = ["npm"]', {}, tool);
  expect(decision.effect === "deny" ? decision.code : decision.effect).toBe(expected);
});

test.each([
  ['["t@1"]', "allow"],
  ['["t@1.2"]', "allow"],
  ['["t@1.20"]', "tool_not_allowed"],
  ['["u"]', "tool_not_allowed"],
])("with allow_tools = %s the call is %s", (selectors, expected) => {
  const decision = call('command = ["npm"]', {}, "t", head.replace('["t"]', selectors));
  expect(decision.effect === "deny" ? decision.code : decision.effect).toBe(expected);
});

test("a version is chosen by its numbers, and not by how it begins", () => {
  const text = (selector: string) =>
    `${head.replace('"t"', `"${selector}"`)}[tools.t]\nversion = "12.3.4"\ncwd = "/srv/project"\ncommand = ["npm"]\n`;
  const effect = (selector: string, tool: string) => {
    const request = {
      room_id: "!a:x",
      user_id: "@u:x",
      ask: { kind: "call" as const, tool, args: {} },
      cwd: null,
      env: {},
      timeout_ms: null,
    };
    return decide(loadPolicy(text(selector), "policy.toml", machine), request, machine).effect;
  };
  expect([
    effect("t@12", "t@12.3"),
    effect("t@1", "t"),
    effect("t", "t@1"),
    effect("t@12.3", "t@12.3.4"),
  ]).toEqual(["allow", "deny", "deny", "allow"]);
});

test("deny_args_regex holds for what a caller fills in, and not for what the operator wrote", () => {
  const allow = `${head}deny_args_regex = ["test", "--evil.*"]\n`;
  const body = `${one}command = ["npm", "test", "{p}"]`;
  expect(call(body, { p: "fine" }, "t", allow).effect).toBe("allow");
  expect(call(body, { p: "--evil\nx" }, "t", allow)).toMatchObject({ code: "args_denied" });
});

test("a tool's own time lowers the entry's, and never raises it", () => {
  const limits = (decision: Decision) => (decision as Permission).grant.limits.max_runtime_ms;
  expect(limits(call('command = ["npm"]\nmax_runtime_ms = 10', {}))).toBe(10);
  expect(limits(call('command = ["npm"]\nmax_runtime_ms = 999999999', {}))).toBe(900_000);
});

test.each<[string, string, RegExp]>([
  ["a shell line", 'command = "npm test"', /tools\.t\.command must be a list/],
  ["an empty command", "command = []", /must begin with the name/],
  ["a command that a caller chooses", `${one}command = ["{p}"]`, /cannot be an argument of the caller/],
  [
    "a placeholder that is no property",
    `${one}command = ["npm", "{q}"]`,
    /not among the input's properties; did you mean "p"/,
  ],
  ["a list inside an argument", `${one}command = ["npm", "x{list}"]`, /fills an argument alone/],
  [
    "a property of any type",
    'input = { type = "object", properties = { p = {} } }\ncommand = ["npm", "{p}"]',
    /must be text/,
  ],
  ["an open brace", 'command = ["npm", "{print $1}"]', /single \{/],
  [
    "a schema that is none",
    'input = { type = "object", properties = { p = { type = "sting" } } }\ncommand = ["npm"]',
    /no usable JSON Schema/,
  ],
  [
    "an unknown keyword",
    'input = { type = "object", propertis = {} }\ncommand = ["npm"]',
    /no usable JSON Schema/,
  ],
  [
    "a pattern that is not RE2",
    'input = { type = "object", properties = { p = { type = "string", pattern = "(?=a)" } } }\ncommand = ["npm"]',
    /no usable JSON Schema/,
  ],
  [
    "a schema of something else",
    'input = { type = "string" }\ncommand = ["npm"]',
    /must have type = "object"/,
  ],
])("%s is a problem", (_, body, message) => {
  expect(problem(body)).toMatch(message);
});

test("a version that is not three numbers is a problem", () => {
  const loaded = loadPolicy(
    '[tools.t]\nversion = "latest"\ncommand = ["npm"]\ncwd = "/srv/project"\n',
    "p",
    machine,
  );
  expect(loaded).toMatchObject({ state: "invalid", problems: [{ line: 2, key: "tools.t.version" }] });
});

test("tools are published with their schemas, and not at all while the policy is malformed", () => {
  expect(tools(withTool(`description = "d"\n${one}command = ["npm", "{p}"]`))).toMatchObject([
    { name: "t", version: "1.2.3", description: "d", input_schema: { type: "object" }, output_schema: {} },
  ]);
  expect(tools(loadPolicy("x", "p", machine))).toEqual([]);
});
