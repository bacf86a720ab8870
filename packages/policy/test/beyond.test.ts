/** What runs while the policy changes: ended where it has more than it would be given now, and else left alone. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { beyond, decide, type Grant, loadPolicy, type PolicyRequest } from "../src/index.ts";
import { policies, requests } from "./support/arbitrary.ts";
import { endsWhatHasMore, grantOf, later } from "./support/ending.ts";
import { machine } from "./support/machine.ts";

test("a policy that stays as it is ends nothing", () => {
  let tried = 0;
  fc.assert(
    fc.property(policies, requests, (policy, request) => {
      const under = grantOf(policy, request);
      if (!under) return;
      tried++;
      const now = later(policy, request, under);
      expect(now?.effect).toBe("allow");
      if (now?.effect === "allow") expect(beyond(under, now.grant, 1_000)).toEqual([]);
    }),
    { numRuns: 300 },
  );
  expect(tried).toBeGreaterThan(10);
});

test("after a tightening goes on what has no more than it would be given, and after a loosening everything", () => {
  endsWhatHasMore(8);
});

const ROOM = "!a:x";
const base = `version = 1
[execution]
network = "allow"
env_allowlist = ["CI", "LANG"]
max_runtime_ms = 60000
max_memory_bytes = 1000000
max_concurrent = 3
read_only_paths = ["/etc"]
writable_paths = ["/tmp"]
[rooms."${ROOM}"]
trusted = true
[rooms."${ROOM}".agents."*"]
allow_exec = true
allow_tools = ["t"]
allow_commands = ["git", "/srv/project/run.sh"]
allow_cwd = ["/srv"]
[tools.t]
version = "1.0.0"
cwd = "/srv/project"
command = ["npm", "test"]
`;

const asked: PolicyRequest = {
  room_id: ROOM,
  user_id: "@u:x",
  ask: { kind: "exec", command: ["git", "push"] },
  cwd: "/srv/project",
  env: {},
  timeout_ms: null,
};
const called: PolicyRequest = { ...asked, ask: { kind: "call", tool: "t", args: {} }, cwd: null };

function started(request: PolicyRequest): Grant {
  const decision = decide(loadPolicy(base, "policy.toml", machine), request, machine);
  if (decision.effect !== "allow") throw new Error(JSON.stringify(decision));
  return decision.grant;
}

/** What becomes of a run when the policy says something else; `earlier` began before it. */
function after(change: [string, string], request = asked, earlier = 0, there = machine) {
  const text = base.replace(...change);
  if (text === base) throw new Error("nothing was changed");
  const under = started(request);
  const now = decide(loadPolicy(text, "policy.toml", there), { ...request, under }, there);
  return now.effect === "allow" ? beyond(under, now.grant, earlier) : now.effect;
}

test.each<[string, [string, string], unknown]>([
  ["no network", ['network = "allow"', 'network = "deny"'], ["network"]],
  ["less time", ["60000", "59999"], ["max_runtime_ms"]],
  ["less memory", ["1000000", "999999"], ["max_memory_bytes"]],
  [
    "a limit where there was none",
    ["max_memory_bytes", "max_processes = 9\nmax_memory_bytes"],
    ["max_processes"],
  ],
  ["fewer variables", ['["CI", "LANG"]', '["CI"]'], ["env_allowlist"]],
  ["a path that is not shown any more", ['read_only_paths = ["/etc"]', ""], ["paths"]],
  ["a path that may only be read", ['writable_paths = ["/tmp"]', ""], ["paths"]],
  ["a path in the project that may only be read", ['["/etc"]', '["/etc", "/srv/project"]'], ["paths"]],
  ["a smaller project", ['allow_cwd = ["/srv"]', 'allow_cwd = ["/srv/project"]'], ["paths"]],
  ["another project", ['allow_cwd = ["/srv"]', 'allow_cwd = ["/tmp"]'], "deny"],
  ["an approval", ["allow_exec = true", "allow_exec = true\nrequires_approval = true"], "hold"],
  [
    "an argument that is denied",
    ["allow_exec = true", "allow_exec = true\ndeny_args_regex = ['push']"],
    "deny",
  ],
  ["another command", ['["git", ', "["], "deny"],
  ["a rate", ["max_concurrent = 3", "max_concurrent = 3\nmax_per_minute = 1"], []],
  ["more of everything", ["60000", "90000"], []],
  ["another command as well", ['["git", ', '["git", "ls", '], []],
  [
    "no sandbox at all",
    ["allow_exec = true", 'allow_exec = true\nsandbox = "none"\nallow_unsandboxed = true'],
    [],
  ],
])("a run goes on, or is ended, as the policy says: %s", (_, change, expected) => {
  expect(after(change)).toEqual(expected);
});

test("of more runs than there may be now, those that began last are ended", () => {
  const fewer: [string, string] = ["max_concurrent = 3", "max_concurrent = 2"];
  expect([0, 1, 2].map((earlier) => after(fewer, asked, earlier))).toEqual([[], [], ["max_concurrent"]]);
});

test("a tool that runs something else now, or elsewhere, or with an approval, is ended", () => {
  expect(after(['["npm", "test"]', '["npm", "test", "--safe"]'], called)).toEqual(["command"]);
  expect(after(['cwd = "/srv/project"', 'cwd = "/tmp"'], called)).toContain("cwd");
  expect(
    after(["allow_exec = true", 'allow_exec = true\nrequires_approval = [{ tool = "t" }]'], called),
  ).toBe("hold");
  expect(after(['allow_tools = ["t"]', "allow_tools = []"], called)).toBe("deny");
  expect(after(['version = "1.0.0"', 'version = "1.0.1"'], called)).toEqual([]);
});

test("what becomes of its file or its directory while it runs ends nothing, and keeps it from nothing", () => {
  const gone = { ...machine, resolveCommand: () => null, resolveDirectory: () => null };
  const another = {
    ...machine,
    resolveCommand: (name: string, cwd: string | null) => {
      const found = machine.resolveCommand(name, cwd);
      return found && { ...found, target: { ...found.target, ino: 1 } };
    },
  };
  const script: PolicyRequest = { ...asked, ask: { kind: "exec", command: ["./run.sh"] } };
  for (const request of [asked, called, script]) {
    const under = started(request);
    const loaded = loadPolicy(base, "policy.toml", machine);
    expect(decide(loaded, { ...request, under }, gone).effect).toBe("allow");
    // Loaded again, it knows the other file; the run is of the one before.
    expect(after(["60000", "60001"], request, 0, another)).toEqual([]);
    // A program that writes over its own file does not get out of a tightening by it.
    expect(after(["60000", "59999"], request, 0, another)).toEqual(["max_runtime_ms"]);
    // To what is not running nothing of this applies.
    expect(decide(loaded, request, gone).effect).toBe("deny");
    expect(decide(loaded, request, another).effect).toBe("deny");
  }
});
