/** What several entries allow, combined: the widest of each, then the tighter of that and what was asked. */
import type { Grant, GrantedSandbox, PolicyRequest } from "./decision.ts";
import { inheritable } from "./environment.ts";
import type { Entry, Settings } from "./model.ts";
import { isInside } from "./paths.ts";
import type { Program } from "./program.ts";

export interface Allowed {
  entry: Entry;
  program: Program;
}

/** `first` decides the working directory where the request named none: those with another one do not count. */
export function combine(
  first: Allowed,
  others: Allowed[],
  request: PolicyRequest,
  deviceChecked: boolean,
): Grant {
  const { executable, argv, cwd, tool } = first.program;
  const all = [first, ...others.filter(({ program }) => program.cwd.path === cwd.path)];
  const settings = all.map(({ entry }) => entry.settings);
  const widest = (value: (settings: Settings) => number) => Math.max(...settings.map(value));
  const widestOrNone = (value: (settings: Settings) => number | null): number | null =>
    settings.reduce<number | null>((most, each) => {
      const limit = value(each);
      return most === null || limit === null ? null : Math.max(most, limit);
    }, 0);
  const granted = Math.min(
    widest((each) => each.maxRuntimeMs),
    tool?.maxRuntimeMs ?? Number.POSITIVE_INFINITY,
  );
  return {
    executable,
    argv,
    cwd,
    env: { ...request.env },
    sandbox: combineSandbox(all),
    env_allowlist: unique(settings.flatMap((each) => inheritable(each.envAllowlist))),
    limits: {
      // 0 would be no time at all, and some runners read it as no limit.
      max_runtime_ms: Math.max(1, Math.min(granted, request.timeout_ms ?? granted)),
      max_output_bytes: widest((each) => each.maxOutputBytes),
      max_memory_bytes: widestOrNone((each) => each.maxMemoryBytes),
      max_processes: widestOrNone((each) => each.maxProcesses),
      max_file_bytes: widestOrNone((each) => each.maxFileBytes),
      max_cpu_seconds: widestOrNone((each) => each.maxCpuSeconds),
    },
    max_concurrent: widest((each) => each.maxConcurrent),
    max_per_minute: widestOrNone((each) => each.maxPerMinute),
    require_verified_device: deviceChecked || all.every(({ entry }) => entry.requireVerifiedDevice),
    tool: tool && { name: tool.name, version: tool.version, output: tool.output },
  };
}

function combineSandbox(all: Allowed[]): GrantedSandbox {
  if (all.some(({ entry }) => entry.settings.sandbox === "none")) return { backend: "none" };
  const views = all.map(({ entry, program }) => viewOf(entry.settings, program.project));
  const paths = unique(views.flatMap((view) => [...view.keys()]));
  const isWritable = (path: string) => views.some((view) => writableIn(view, path) === true);
  return {
    backend: "bubblewrap",
    network: all.some(({ entry }) => entry.settings.network === "allow") ? "allow" : "deny",
    read_only_paths: paths.filter((path) => !isWritable(path)),
    writable_paths: paths.filter(isWritable),
  };
}

/** The paths that an entry lists, and whether each is writable; the project is, unless it is shown read-only. */
export function viewOf(settings: Settings, project: string): View {
  const view = new Map<string, boolean>();
  for (const path of settings.readOnlyPaths) view.set(path, false);
  for (const path of settings.writablePaths) view.set(path, true);
  if (writableIn(view, project) !== false) view.set(project, true);
  return view;
}

/** What a sandbox shows beside the system, and whether it can be written there. */
export type View = ReadonlyMap<string, boolean>;

/** The nearest listed path around `path`; undefined where there is none. */
export function nearest(view: View, path: string): { path: string; writable: boolean } | undefined {
  const around = [...view].filter(([one]) => isInside(path, one));
  const [found] = around.toSorted(([a], [b]) => b.length - a.length);
  return found && { path: found[0], writable: found[1] };
}

/** What the nearest listed path says. */
export function writableIn(view: View, path: string): boolean | undefined {
  return nearest(view, path)?.writable;
}

function unique(items: string[]): string[] {
  return [...new Set(items)].toSorted();
}
