import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import type { FileIdentity } from "@mx-agent/base";

export interface ResolvedCommand {
  /** Real path of the directory, and the name in it: the command's own last link is not followed. */
  path: string;
  /** The real file behind it. */
  target: FileIdentity;
}

/** The machine as the policy sees it; handed in, so that tests and `policy test` can bring their own. */
export interface Machine {
  /** What `~/` at the start of a path in the policy stands for; absolute. */
  home: string;
  /** The daemon's PATH. */
  path: string;
  /**
   * Directories that no run may see: our configuration, data and runtime directories. A path of the
   * policy that holds one of them, or lies in one, is a problem.
   */
  private_paths?: readonly string[];
  /**
   * Finds an executable file: a name with a slash as it is (relative to `cwd`), a bare name by `path`.
   * null when it is not there or cannot be executed.
   */
  resolveCommand(name: string, cwd: string | null): ResolvedCommand | null;
  /** What is there instead, where `resolveCommand` finds nothing; null where nothing is. Without it nothing ever is. */
  insteadOfCommand?(name: string, cwd: string | null): "directory" | "not_executable" | null;
  /** An absolute path, every link followed; null when it is no directory that can be reached. */
  resolveDirectory(path: string): FileIdentity | null;
  /** As resolveDirectory, but a file as well, and the real path alone. Without it only directories can be shown to a sandbox. */
  resolvePath?(path: string): string | null;
}

/** The real machine, over node:fs. `env` gives HOME and PATH. */
export function nodeMachine(
  env: Readonly<Record<string, string | undefined>>,
  private_paths: readonly string[] = [],
): Machine {
  const path = env.PATH ?? "";
  return {
    home: env.HOME ?? homedir(),
    path,
    private_paths,
    resolveCommand: (name, cwd) => resolveCommand(name, cwd, path),
    insteadOfCommand: (name, cwd) => insteadOfCommand(name, cwd, path),
    resolveDirectory,
    resolvePath: (wanted) =>
      wanted.startsWith("/") && !wanted.includes("\0") ? orNull(() => realpathSync.native(wanted)) : null,
  };
}

function resolveCommand(name: string, cwd: string | null, path: string): ResolvedCommand | null {
  for (const candidate of candidates(name, cwd, path)) {
    const found = inspect(candidate);
    if (found) return found;
  }
  return null;
}

function insteadOfCommand(
  name: string,
  cwd: string | null,
  path: string,
): "directory" | "not_executable" | null {
  for (const candidate of candidates(name, cwd, path)) {
    const stat = orNull(() => statSync(candidate));
    if (stat) return stat.isDirectory() ? "directory" : "not_executable";
  }
  return null;
}

/** Where something of that name is; by PATH for a bare name. */
function* candidates(name: string, cwd: string | null, path: string): Generator<string> {
  if (name === "" || name.includes("\0")) return;
  if (name.startsWith("/")) yield name;
  else if (name.includes("/")) {
    if (cwd?.startsWith("/")) yield `${cwd}/${name}`;
  } else
    for (const directory of path.split(":")) {
      // An empty or relative entry of PATH would mean the peer's working directory.
      if (!directory.startsWith("/")) continue;
      const candidate = `${directory}/${name}`;
      // Most directories of PATH do not have it, and a miss that throws takes ten times as long.
      if (orNull(() => statSync(candidate, { throwIfNoEntry: false }) ?? null)) yield candidate;
    }
}

function inspect(path: string): ResolvedCommand | null {
  const slash = path.lastIndexOf("/");
  const name = path.slice(slash + 1);
  if (name === "" || name === "." || name === "..") return null;
  return orNull(() => {
    // The system resolves `..` after following links; a lexical join would not.
    const directory = realpathSync.native(path.slice(0, slash) || "/");
    const named = directory === "/" ? `/${name}` : `${directory}/${name}`;
    const target = identify(named, "file");
    if (!target) return null;
    accessSync(target.path, constants.X_OK);
    return { path: named, target };
  });
}

function resolveDirectory(path: string): FileIdentity | null {
  if (!path.startsWith("/") || path.includes("\0")) return null;
  return orNull(() => identify(path, "directory"));
}

function identify(path: string, kind: "file" | "directory"): FileIdentity | null {
  const real = realpathSync.native(path);
  const stat = statSync(real);
  if (kind === "file" ? !stat.isFile() : !stat.isDirectory()) return null;
  return { path: real, dev: stat.dev, ino: stat.ino };
}

/** What is not there, cannot be entered or is a loop of links is simply not found. */
function orNull<T>(look: () => T | null): T | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "string") return null;
    throw error;
  }
}
