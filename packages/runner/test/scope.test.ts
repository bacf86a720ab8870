/** When the runner gets a group of its own from the user's systemd; scripts/test-systemd.sh has the real one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ScopePlace, scopeIn } from "../src/scope.ts";

let runtime_dir: string;
beforeEach(() => {
  runtime_dir = mkdtempSync(join(tmpdir(), "mx-scope-"));
  mkdirSync(join(runtime_dir, "systemd"));
  writeFileSync(join(runtime_dir, "systemd", "private"), "");
});
afterEach(() => rmSync(runtime_dir, { recursive: true }));

const inSession = "0::/user.slice/user-1000.slice/session-3.scope\n";
const inManager = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/mx-agent.service\n";
const scope = (change: Partial<ScopePlace> = {}) =>
  scopeIn({ cgroup: inManager, uid: 1000, runtime_dir, lingers: false, ...change });

it("gets one where the user's systemd has started what starts it, or outlives a logout", () => {
  const asked = expect.arrayContaining(["systemd-run", "--user", "--scope", "--property=Delegate=yes"]);
  expect(scope()).toEqual(asked);
  expect(scope({ cgroup: inSession, lingers: true })).toEqual(asked);
  expect(scope()?.at(-1)).toBe("--");
});

it("gets none that would end with a logout which it outlives now, nor where no systemd answers", () => {
  expect(scope({ cgroup: inSession })).toBeNull();
  expect(scope({ cgroup: inManager, uid: 1001 })).toBeNull();
  expect(scope({ runtime_dir: undefined })).toBeNull();
  rmSync(join(runtime_dir, "systemd", "private"));
  expect(scope()).toBeNull();
});
