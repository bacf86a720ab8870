/** scripts/install-system-service.sh, below a directory instead of the root. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemdUnit } from "@mx-agent/cli";
import { afterEach, beforeEach, expect, test } from "vitest";
import { root } from "../tasks.ts";

const script = join(root, "scripts", "install-system-service.sh");
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-system-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const written = (path: string) => readFileSync(join(dir, path), "utf8");

test("writes a unit under a uid of its own that a stop ends alone, and a command for operators", () => {
  execFileSync(script, ["--root", dir, "--user", "builder", "/bin/sh"]);
  const unit = written("etc/systemd/system/builder.service");
  expect(unit).toMatch(/^ExecStart=\/bin\/sh daemon start --foreground$/m);
  expect(unit).toMatch(/^User=builder$/m);
  expect(unit).toMatch(/^StateDirectoryMode=0700$/m);
  expect(unit).toMatch(/^KillMode=process$/m);
  const command = ["/bin/sh", "daemon", "start", "--foreground"];
  expect(unit).toBe(systemdUnit({ command, env: { MX_AGENT_HOME: "/var/lib/builder" } }, "builder"));
  const operator = join(dir, "usr/local/bin/builder-operator");
  expect(statSync(operator).mode & 0o777).toBe(0o755);
  expect(written("usr/local/bin/builder-operator")).toContain(
    'sudo -u builder -- env MX_AGENT_HOME=/var/lib/builder /bin/sh "$@"',
  );
});

test("run again, it writes the same", () => {
  const first = [0, 1].map(() => {
    execFileSync(script, ["--root", dir, "/bin/sh"]);
    return written("etc/systemd/system/mx-agent.service");
  });
  expect(first[0]).toBe(first[1]);
});

test.each([
  ["an account with a space in its name", ["--user", "a b", "/bin/sh"], 64],
  ["a program that is not there", ["/nowhere/mx-agent"], 78],
  ["a program with a space in its path", ["/bin/s h"], 78],
  ["an option that it does not know", ["--frobnicate"], 64],
])("refuses %s, and writes nothing", (_, args, status) => {
  const ended = spawnSync(script, ["--root", dir, ...args], { encoding: "utf8" });
  expect([ended.status, ended.stderr !== ""]).toEqual([status, true]);
  expect(() => written("etc/systemd/system/mx-agent.service")).toThrow();
});
