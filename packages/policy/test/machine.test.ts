import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Decision, decide, loadPolicy, nodeMachine } from "../src/index.ts";

let root = "";
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "mx-policy-")));
  for (const name of ["bin", "project/deep", "outside", "home"])
    mkdirSync(join(root, name), { recursive: true });
  symlinkSync("bin", join(root, "linked-bin"));
  for (const name of ["git", "toolbox"]) program(`bin/${name}`);
  for (const name of ["ls", "sh"]) symlinkSync("toolbox", join(root, "bin", name));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function program(name: string): void {
  writeFileSync(join(root, name), "#!/bin/false\n", { mode: 0o755 });
}

const here = () => nodeMachine({ HOME: join(root, "home"), PATH: `:relative:${root}/absent:${root}/bin` });

function load() {
  const text = `version = 1
[rooms."!a:x"]
trusted = true
[rooms."!a:x".agents."*"]
allow_exec = true
allow_commands = ["git", "ls", "${root}/project/own.sh"]
allow_cwd = ["${root}/project"]
`;
  return loadPolicy(text, "policy.toml", here());
}

function ask(command: string[], cwd = join(root, "project"), loaded = load()): Decision {
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "exec" as const, command },
    cwd,
    env: {},
    timeout_ms: null,
  };
  return decide(loaded, request, here());
}

const code = (decision: Decision) => (decision.effect === "deny" ? decision.code : decision.effect);

test("a bare name is what PATH gives, and its executable is the real file", () => {
  expect(ask(["git"])).toMatchObject({
    effect: "allow",
    grant: { executable: { path: join(root, "bin/git") } },
  });
});

test("a multi-call binary is allowed under its allowed name alone, and is told that name", () => {
  expect(ask(["ls", "-l"])).toMatchObject({
    effect: "allow",
    grant: { executable: { path: join(root, "bin/toolbox") }, argv: [join(root, "bin/ls"), "-l"] },
  });
  expect(code(ask(["sh"]))).toBe("command_not_allowed");
  expect(code(ask(["toolbox", "sh"]))).toBe("command_not_allowed");
});

test("a command of an allowed name, made in the working directory, is not allowed", () => {
  program("project/git");
  symlinkSync(join(root, "bin/git"), join(root, "project/ls"));
  linkSync(join(root, "bin/git"), join(root, "project/hard"));
  for (const name of ["./git", "./ls", "./hard", join(root, "project/git"), "../project/git"]) {
    expect(code(ask([name]))).toBe("command_not_allowed");
  }
  expect(ask(["git"])).toMatchObject({ grant: { executable: { path: join(root, "bin/git") } } });
});

test("an allowed command is the same through a linked directory, and through ..", () => {
  expect(code(ask([join(root, "linked-bin/git")]))).toBe("allow");
  expect(code(ask(["../bin/git"]))).toBe("allow");
});

test(".. after a link is where the system goes, not where the text says", () => {
  // project/away is outside/x; project/away/../git is outside/git, though the text says project/git.
  mkdirSync(join(root, "outside/x"));
  program("outside/git");
  symlinkSync(join(root, "outside/x"), join(root, "project/away"));
  expect(here().resolveCommand("away/../git", join(root, "project"))?.path).toBe(join(root, "outside/git"));
});

test("a command replaced after the policy was loaded is refused until it is loaded again", () => {
  const loaded = load();
  program("bin/git.new");
  renameSync(join(root, "bin/git.new"), join(root, "bin/git"));
  expect(code(ask(["git"], undefined, loaded))).toBe("command_changed");
  expect(code(ask(["git"]))).toBe("allow");
});

test("a link that points elsewhere after the policy was loaded is refused", () => {
  const loaded = load();
  rmSync(join(root, "bin/ls"));
  symlinkSync("git", join(root, "bin/ls"));
  expect(code(ask(["ls"], undefined, loaded))).toBe("command_changed");
});

test("what cannot be executed is not found", () => {
  chmodSync(join(root, "bin/git"), 0o644);
  expect(here().resolveCommand("git", null)).toBeNull();
  expect(here().resolveCommand(join(root, "bin"), null)).toBeNull();
  expect(here().resolveCommand("", null)).toBeNull();
  expect(here().resolveCommand(`${root}/bin/..`, null)).toBeNull();
  expect(here().resolveCommand("./git", null)).toBeNull();
});

test("what is there instead of an allowed program is named, to the operator and to the peer", () => {
  const loaded = load();
  const told = (decision: ReturnType<typeof ask>) =>
    decision.effect === "deny" && [decision.code, decision.reason, decision.detail];
  chmodSync(join(root, "bin/git"), 0o644);
  expect(told(ask(["git"], undefined, loaded))).toEqual([
    "command_not_executable",
    "spawn_failed",
    'EACCES: "git" may not be executed',
  ]);
  rmSync(join(root, "bin/git"));
  expect(told(ask(["git"], undefined, loaded))).toEqual([
    "command_not_found",
    "spawn_failed",
    'ENOENT: "git" is not there',
  ]);
  mkdirSync(join(root, "bin/git"));
  expect(told(ask(["git"], undefined, loaded))).toEqual([
    "command_not_executable",
    "spawn_failed",
    'EACCES: "git" is a directory',
  ]);
});

test("directories of PATH that are loops, files or absent are passed over", () => {
  symlinkSync("loop", join(root, "loop"));
  const path = ["loop", "bin/git", "absent", "bin"].map((name) => join(root, name)).join(":");
  expect(nodeMachine({ PATH: path }).resolveCommand("git", null)?.path).toBe(join(root, "bin/git"));
});

test("an empty or relative entry of PATH is never the working directory", () => {
  mkdirSync(join(root, "project/relative"));
  for (const name of ["evil", "relative/evil"]) program(`project/${name}`);
  const before = process.cwd();
  process.chdir(join(root, "project"));
  try {
    expect(here().resolveCommand("evil", join(root, "project"))).toBeNull();
  } finally {
    process.chdir(before);
  }
});

test.each([
  ["project", "allow"],
  ["project/deep", "allow"],
  ["project/deep/..", "allow"],
  ["project/deep/../..", "cwd_not_allowed"],
  ["project/..//outside", "cwd_not_allowed"],
  ["project/link", "cwd_not_allowed"],
  ["project/link/../project", "allow"],
  ["project/absent", "cwd_not_found"],
  ["project/own.sh", "cwd_not_found"],
  ["project/loop", "cwd_not_found"],
  ["project-2", "cwd_not_allowed"],
  ["", "cwd_not_allowed"],
])("working directory %j is %s", (relative, expected) => {
  mkdirSync(join(root, "project-2"));
  symlinkSync(join(root, "outside"), join(root, "project/link"));
  symlinkSync("loop", join(root, "project/loop"));
  program("project/own.sh");
  expect(code(ask(["git"], `${root}/${relative}`))).toBe(expected);
});

test("a working directory whose link is swapped is judged by where it points now", () => {
  symlinkSync("deep", join(root, "project/current"));
  const loaded = load();
  expect(ask(["git"], join(root, "project/current"), loaded)).toMatchObject({
    grant: { cwd: { path: join(root, "project/deep") } },
  });
  rmSync(join(root, "project/current"));
  symlinkSync(join(root, "outside"), join(root, "project/current"));
  expect(code(ask(["git"], join(root, "project/current"), loaded))).toBe("cwd_not_allowed");
});

test("an allowed directory that is replaced by a link after loading allows nothing through it", () => {
  const loaded = load();
  rmSync(join(root, "project"), { recursive: true });
  symlinkSync("outside", join(root, "project"));
  expect(code(ask(["git"], join(root, "project"), loaded))).toBe("cwd_not_allowed");
});

test("a copy of an allowed command in a directory earlier in PATH is not the allowed one", () => {
  const loaded = load();
  mkdirSync(join(root, "early"));
  copyFileSync(join(root, "bin/git"), join(root, "early/git"));
  const shadowed = nodeMachine({ HOME: root, PATH: `${root}/early:${root}/bin` });
  const request = {
    room_id: "!a:x",
    user_id: "@u:x",
    ask: { kind: "exec" as const, command: ["git"] },
    cwd: join(root, "project"),
    env: {},
    timeout_ms: null,
  };
  expect(code(decide(loaded, request, shadowed))).toBe("command_not_allowed");
});
