import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A small project with a test suite that takes its time, so that its output can be seen to arrive live, and a command that starts others. */
export function makeRepository(dir: string): void {
  mkdirSync(dir);
  writeFileSync(
    join(dir, "roman.mjs"),
    `const digits = [[1000, "M"], [900, "CM"], [500, "D"], [400, "CD"], [100, "C"], [90, "XC"],
  [50, "L"], [40, "XL"], [10, "X"], [9, "IX"], [5, "V"], [4, "IV"], [1, "I"]];

export function roman(n) {
  const [value, digit] = digits.find(([value]) => value <= n) ?? [0, ""];
  return value === 0 ? "" : digit + roman(n - value);
}
`,
  );
  writeFileSync(
    join(dir, "roman.test.mjs"),
    `import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { roman } from "./roman.mjs";

for (const [n, expected] of [[1, "I"], [4, "IV"], [14, "XIV"], [1994, "MCMXCIV"], [2026, "MMXXVI"]])
  test(\`\${n} is \${expected}\`, async () => {
    await pause(300);
    assert.equal(roman(n), expected);
  });
`,
  );
  writeFileSync(
    join(dir, "patience.mjs"),
    `import { spawn } from "node:child_process";

for (let n = 0; n < 2; n++) spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
`,
  );
}

/** The builder's policy: what the laptop may do there, and nothing else. */
export function policyText(options: {
  room: string;
  user: string;
  project: string;
  node: string;
  sandbox: "bubblewrap" | "none";
}): string {
  const { room, user, project, node, sandbox } = options;
  return `version = 1

[execution]
sandbox = "${sandbox}"
network = "${sandbox === "none" ? "allow" : "deny"}"
read_only_paths = ["${node}"]        # Node itself, where it is not part of the system
max_runtime_ms = 60_000

[rooms."${room}"]
trusted = true

[rooms."${room}".agents."${user}"]
allow_exec = true
allow_commands = ["${node}", "sort", "sleep"]
allow_cwd = ["${project}"]
${sandbox === "none" ? "allow_unsandboxed = true            # this machine has no bubblewrap\n" : ""}`;
}
