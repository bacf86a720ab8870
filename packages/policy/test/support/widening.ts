import fc from "fast-check";
import { expect } from "vitest";
import {
  type Decision,
  decide,
  type Grant,
  loadPolicy,
  type PolicyRequest,
  requirements,
} from "../../src/index.ts";
import { isInside } from "../../src/paths.ts";
import type { Document } from "../../src/schema.ts";
import { policies, requests, tightenings, toToml } from "./arbitrary.ts";
import { machine } from "./machine.ts";

/** What a request comes to: the demand for a verified device, then the decision. */
export function outcome(document: Document, request: PolicyRequest): Decision | null {
  const loaded = loadPolicy(toToml(document), "policy.toml", machine);
  if (loaded.state !== "ok") return null;
  const demanded = requirements(loaded, request.room_id, request.user_id).require_verified_device;
  return demanded && request.device_verified !== true ? null : decide(loaded, request, machine);
}

const rank = { deny: 0, hold: 1, allow: 2 };

/** What the second grants beyond the first. */
function widened(before: Decision | null, after: Decision | null): string[] {
  if (!after || after.effect === "deny") return [];
  if (!before || before.effect === "deny") return ["effect"];
  if (rank[after.effect] !== rank[before.effect])
    return rank[after.effect] > rank[before.effect] ? ["effect"] : [];
  return widenedGrant(before.grant, after.grant);
}

/** In what the second is wider than the first. */
export function widenedGrant(before: Grant, after: Grant): string[] {
  const found: string[] = [];
  const more = (name: string, a: number | null, b: number | null) => {
    if (a !== null && (b === null || b > a)) found.push(name);
  };
  for (const key of [
    "max_runtime_ms",
    "max_output_bytes",
    "max_memory_bytes",
    "max_processes",
    "max_file_bytes",
    "max_cpu_seconds",
  ] as const) {
    more(key, before.limits[key], after.limits[key]);
  }
  more("max_concurrent", before.max_concurrent, after.max_concurrent);
  more("max_per_minute", before.max_per_minute, after.max_per_minute);
  if (after.env_allowlist.some((name) => !before.env_allowlist.includes(name))) found.push("env_allowlist");
  if (
    JSON.stringify([before.executable, before.argv, before.cwd, before.env]) !==
    JSON.stringify([after.executable, after.argv, after.cwd, after.env])
  ) {
    found.push("what runs");
  }
  if (before.require_verified_device && !after.require_verified_device) found.push("require_verified_device");
  if (before.sandbox.backend === "none") return found;
  if (after.sandbox.backend === "none") return [...found, "sandbox"];
  if (before.sandbox.network === "deny" && after.sandbox.network === "allow") found.push("network");
  // Between two listed paths nothing changes, so what holds at each of them is the whole view.
  const [one, other] = [before.sandbox, after.sandbox];
  const listed = [one, other].flatMap((each) => [...each.writable_paths, ...each.read_only_paths]);
  for (const path of new Set(listed))
    if (shown(other, path) > shown(one, path))
      found.push(shown(other, path) === 2 ? "writable_paths" : "read_only_paths");
  return found;
}

/** How a sandbox shows a path: 2 writable, 1 read-only, 0 not beyond the system. The nearest listed path decides. */
function shown(sandbox: Extract<Grant["sandbox"], { backend: "bubblewrap" }>, path: string): 0 | 1 | 2 {
  const depth = (paths: string[]) =>
    Math.max(0, ...paths.filter((one) => isInside(path, one)).map((one) => one.length));
  const [writable, readOnly] = [depth(sandbox.writable_paths), depth(sandbox.read_only_paths)];
  if (writable === 0 && readOnly === 0) return 0;
  return readOnly > writable ? 1 : 2;
}

/** Random policies, each with every tightening of it; the answers that were seen are counted. */
export function neverWider(numRuns: number): Record<Decision["effect"], number> {
  const seen = { allow: 0, hold: 0, deny: 0 };
  fc.assert(
    fc.property(policies, requests, (policy, request) => {
      const before = outcome(policy, request);
      if (before) seen[before.effect]++;
      for (const [name, tighter] of tightenings(policy)) {
        expect([name, widened(before, outcome(tighter, request))]).toEqual([name, []]);
      }
    }),
    { numRuns },
  );
  return seen;
}
