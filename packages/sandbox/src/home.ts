import type { SandboxRequest } from "./api.ts";
import type { SandboxContext } from "./plan.ts";
import { isWithin, KERNEL_PATHS, PRIVATE_DIRECTORIES, SYSTEM_PATHS } from "./view.ts";

/** Of the system, where a directory can be somebody's HOME: packages keep their own elsewhere. */
const HOMES_OF_THE_SYSTEM: readonly string[] = ["/opt", "/etc", "/usr/home", "/usr/local/home"];

type Lists = Pick<Extract<SandboxRequest, { backend: "bubblewrap" }>, "read_only_paths" | "writable_paths">;

/**
 * The HOME that is empty in the sandbox; undefined where it is, or holds, a part of the system. One that lies in the
 * system, as a service account's does, is left as it is where the program or its PATH is in there, or where the
 * policy shows all of it.
 */
export function privateHome(lists: Lists, context: SandboxContext): string | undefined {
  const { HOME: home, PATH = "" } = context.env;
  if (!home?.startsWith("/") || home === "/") return undefined;
  const fixed = [...SYSTEM_PATHS, ...KERNEL_PATHS, ...PRIVATE_DIRECTORIES, "/run"];
  if (!fixed.some((path) => isWithin(home, path) || isWithin(path, home))) return home;
  if (!HOMES_OF_THE_SYSTEM.some((path) => home !== path && isWithin(home, path))) return undefined;
  const needed = [context.executable.path, ...PATH.split(":")];
  const listed = [...lists.read_only_paths, ...lists.writable_paths];
  if (needed.some((path) => isWithin(path, home)) || listed.some((path) => isWithin(home, path)))
    return undefined;
  // Nothing can be mounted where there is no directory.
  return context.kindOf(home) === "directory" ? home : undefined;
}
