/** Whether what runs already has more than would be granted to it now. */
import type { Grant, GrantedLimits, GrantedSandbox } from "./decision.ts";
import { type View, writableIn } from "./grant.ts";

/** Each is narrower by being lower; null is none at all. */
const limits = [
  "max_runtime_ms",
  "max_output_bytes",
  "max_memory_bytes",
  "max_processes",
  "max_file_bytes",
  "max_cpu_seconds",
] as const satisfies readonly (keyof GrantedLimits)[];

export type GrantPart =
  | "command"
  | "cwd"
  | "env_allowlist"
  | "sandbox"
  | "network"
  | "paths"
  | (typeof limits)[number]
  | "max_concurrent";

/**
 * In what a run that was started under one grant has more than another one gives, decided for the same request
 * (`PolicyRequest.under`); empty where it may go on. `earlier`: how many runs of this user in this room began
 * before it, and go on. A rate is about what starts, and takes nothing from what runs.
 */
export function beyond(under: Grant, now: Grant, earlier: number): GrantPart[] {
  const found: GrantPart[] = [];
  const add = (part: GrantPart, isMore: boolean) => isMore && found.push(part);
  add("command", JSON.stringify(under.argv) !== JSON.stringify(now.argv));
  add("cwd", under.cwd.path !== now.cwd.path);
  add(
    "env_allowlist",
    under.env_allowlist.some((name) => !now.env_allowlist.includes(name)),
  );
  for (const limit of limits) add(limit, isLess(now.limits[limit], under.limits[limit]));
  add("max_concurrent", now.max_concurrent < under.max_concurrent && earlier >= now.max_concurrent);
  return [...found, ...beyondSandbox(under.sandbox, now.sandbox)];
}

function isLess(now: number | null, under: number | null): boolean {
  return now !== null && (under === null || now < under);
}

function beyondSandbox(under: GrantedSandbox, now: GrantedSandbox): GrantPart[] {
  if (now.backend === "none") return [];
  if (under.backend === "none") return ["sandbox"];
  const [before, after] = [viewOf(under), viewOf(now)];
  // Between two listed paths nothing changes, so what holds at each of them is the whole view.
  const paths = [...before.keys(), ...after.keys()];
  return [
    ...(under.network === "allow" && now.network === "deny" ? ["network" as const] : []),
    ...(paths.some((path) => shownAs(before, path) > shownAs(after, path)) ? ["paths" as const] : []),
  ];
}

function viewOf(sandbox: Exclude<GrantedSandbox, { backend: "none" }>): View {
  return new Map([
    ...sandbox.read_only_paths.map((path) => [path, false] as const),
    ...sandbox.writable_paths.map((path) => [path, true] as const),
  ]);
}

/** 0: not beyond the system; 1: read-only; 2: writable. */
function shownAs(view: View, path: string): 0 | 1 | 2 {
  const writable = writableIn(view, path);
  return writable === undefined ? 0 : writable ? 2 : 1;
}
