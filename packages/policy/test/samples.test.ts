import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { assumedMachine, checkPolicy, decide, loadPolicy, nodeMachine, testPolicy } from "../src/index.ts";
import { paperMachine } from "./support/machine.ts";

const folder = new URL("../../../policy/", import.meta.url);
const samples = readdirSync(folder).filter((name) => name.endsWith(".toml"));
/** Where everything that a sample names is there. */
const there = assumedMachine({
  ...paperMachine({ private_paths: ["/home/me/.config/mx-agent", "/home/me/.local/share/mx-agent"] }),
  home: "/home/me",
});

test("there are samples for a CI runner, a personal machine and a team", () => {
  expect(samples).toEqual(expect.arrayContaining(["ci-runner.toml", "personal.toml", "team.toml"]));
});

test.each(samples)("%s loads, and passes its own tests", (name) => {
  const loaded = loadPolicy(readFileSync(new URL(name, folder), "utf8"), name, there);
  expect(loaded).toMatchObject({ state: "ok" });
  const results = testPolicy(loaded, there);
  expect(results.length).toBeGreaterThan(5);
  expect(
    results
      .filter((result) => !result.passed)
      .map(({ name, expected, actual }) => ({ name, expected, actual })),
  ).toEqual([]);
});

test.each([
  ["ci-runner.toml", []],
  ["personal.toml", []],
  ["team.toml", ["overlap", "unsandboxed"]],
])("policy check has to say about %s what the sample itself explains: %j", (name, codes) => {
  const loaded = loadPolicy(readFileSync(new URL(name, folder), "utf8"), name, there);
  const warnings = checkPolicy(loaded, there, {
    bubblewrap: { available: true },
    limits: { kind: "cgroup" },
  });
  expect([...new Set(warnings.map((warning) => warning.code))].toSorted()).toEqual(codes);
});

test("the tools of the CI runner are for this project: their commands are what its packages have", () => {
  const loaded = loadPolicy(readFileSync(new URL("ci-runner.toml", folder), "utf8"), "ci-runner.toml", there);
  const packages = readdirSync(new URL("../../../packages/", import.meta.url));
  const tools = loaded.state === "ok" ? loaded.policy.tools : new Map();
  for (const name of packages) {
    for (const tool of tools.values()) expect(tool.validate({ package: name })).toMatchObject({ ok: true });
  }
});

test("the lint tool of the CI runner really lints this project, and answers in JSON", () => {
  const root = fileURLToPath(new URL("../../../", import.meta.url)).replace(/\/$/, "");
  const text = readFileSync(new URL("ci-runner.toml", folder), "utf8").replaceAll("/srv/mx-agent", root);
  const here = nodeMachine(process.env);
  const decision = decide(
    loadPolicy(text, "ci-runner.toml", here),
    {
      room_id: "!ci:example.org",
      user_id: "@alice:example.org",
      ask: { kind: "call", tool: "lint", args: { package: "policy" } },
      cwd: null,
      env: {},
      timeout_ms: null,
      device_verified: true,
    },
    here,
  );
  if (decision.effect !== "allow") throw new Error(JSON.stringify(decision));
  const { executable, argv, cwd } = decision.grant;
  const { stdout } = spawnSync(executable.path, argv.slice(1), {
    argv0: argv[0],
    cwd: cwd.path,
    encoding: "utf8",
  });
  expect(JSON.parse(stdout)).toMatchObject({ summary: { errors: 0 }, diagnostics: expect.any(Array) });
});
