import { dirname } from "node:path";
import type { FileIdentity } from "@mx-agent/base";
import type { SandboxRequest } from "./api.ts";
import { isWithin } from "./view.ts";

/** A place of this machine that a sandbox shows. */
export interface PolicyMount {
  path: string;
  writable: boolean;
  /** What it must be; without one, it must still be its own real path. */
  identity?: FileIdentity;
}

type PathLists = Pick<
  Extract<SandboxRequest, { backend: "bubblewrap" }>,
  "writable_paths" | "read_only_paths"
>;

/**
 * What the policy's paths and the working directory show, a directory before what lies in it. The nearest listed
 * path decides whether something is writable, and so it does for the working directory, which a peer chooses.
 * null: the sandbox has a directory of its own there.
 */
export function policyMounts(lists: PathLists, cwd: FileIdentity | null): PolicyMount[] {
  const listed = new Map<string, boolean>();
  for (const path of lists.read_only_paths) listed.set(path, false);
  for (const path of lists.writable_paths) listed.set(path, true);
  const byDepth = [...listed].toSorted(([a], [b]) => b.length - a.length);
  const writableAt = (path: string) => byDepth.find(([one]) => isWithin(path, one))?.[1] ?? false;

  const mounts = new Map<string, PolicyMount>();
  const show = (path: string, writable: boolean) => mounts.set(path, { path, writable });
  for (const [path, writable] of listed) {
    show(path, writable);
    if (writable) continue;
    // A mount point cannot be renamed, but the directory around it can, with another put in its place.
    for (let around = dirname(path); writableAt(around) && !listed.has(around); around = dirname(around))
      show(around, true);
  }
  if (cwd !== null) mounts.set(cwd.path, { path: cwd.path, writable: writableAt(cwd.path), identity: cwd });
  return [...mounts.values()].toSorted((a, b) => a.path.length - b.path.length);
}
