import { existsSync, lstatSync, mkdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { basename, dirname, isAbsolute, join } from "node:path";
import { mxError } from "./mx-error.ts";

/** Where everything of ours is: absolute paths, each a directory that we alone may enter. */
export interface Dirs {
  /** config.toml, policy.toml. */
  config: string;
  /** state.db, keys, spools, audit log, the log. */
  data: string;
  /** Sockets and locks. */
  runtime: string;
}

export type Env = Readonly<Record<string, string | undefined>>;

/** What is asked about the machine while directories are chosen. */
export interface Machine {
  home: string;
  uid: number;
  /** Whether there is a directory of that path that belongs to the user. */
  ownsDirectory(path: string): boolean;
  /** Whether logind keeps the user's runtime directory after the last logout. */
  lingers(): boolean;
}

/**
 * Chooses the directories; creates nothing.
 *
 * `MX_AGENT_CONFIG_DIR`, `MX_AGENT_DATA_DIR` and `MX_AGENT_RUNTIME_DIR` each name one; `MX_AGENT_HOME`
 * has `config`, `data` and `runtime` below it for those that are not named; else the XDG directories
 * with their defaults. MX_CONFIG when one of ours is not an absolute path: daemon and command line
 * would read it from different working directories.
 */
export function resolveDirs(env: Env, machine: Machine = thisMachine(env)): Dirs {
  const ours = (variable: string, name: string) => {
    const own = absolute(env, variable);
    const all = absolute(env, "MX_AGENT_HOME");
    return own ?? (all === undefined ? undefined : join(all, name));
  };
  const data =
    ours("MX_AGENT_DATA_DIR", "data") ??
    join(xdg(env, "XDG_DATA_HOME") ?? join(machine.home, ".local", "share"), "mx-agent");
  return {
    config:
      ours("MX_AGENT_CONFIG_DIR", "config") ??
      join(xdg(env, "XDG_CONFIG_HOME") ?? join(machine.home, ".config"), "mx-agent"),
    data,
    runtime: ours("MX_AGENT_RUNTIME_DIR", "runtime") ?? sessionRuntime(env, machine) ?? join(data, "run"),
  };
}

/**
 * `mx-agent` in the user's runtime directory, where that outlives a logout; undefined otherwise, and then
 * it is `run` in our data directory: ours alone (/tmp is everybody's), and the same for a login, a cron
 * job and a service, so that each finds the daemon that another one started.
 */
function sessionRuntime(env: Env, machine: Machine): string | undefined {
  const logind = `/run/user/${machine.uid}`;
  const base = xdg(env, "XDG_RUNTIME_DIR") ?? logind;
  // After `su` it may still be the directory of another user.
  if (!machine.ownsDirectory(base)) return undefined;
  // logind removes its directory with the last session, sockets and all, unless the user lingers.
  return base === logind && !machine.lingers() ? undefined : join(base, "mx-agent");
}

function absolute(env: Env, variable: string): string | undefined {
  const value = env[variable];
  if (value === undefined || value === "") return undefined;
  if (!isAbsolute(value))
    throw mxError("MX_CONFIG", { file: variable, detail: `an absolute path is needed, not ${value}` });
  return value;
}

/** The XDG specification: relative paths are ignored. */
function xdg(env: Env, variable: string): string | undefined {
  const value = env[variable];
  return value !== undefined && isAbsolute(value) ? value : undefined;
}

function thisMachine(env: Env): Machine {
  const uid = ownUid();
  return {
    home: env.HOME !== undefined && isAbsolute(env.HOME) ? env.HOME : homedir(),
    uid,
    ownsDirectory(path) {
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat?.isDirectory() === true && stat.uid === uid;
    },
    lingers: () => existsSync(join("/var/lib/systemd/linger", userInfo().username)),
  };
}

function ownUid(): number {
  const uid = process.getuid?.();
  if (uid === undefined) throw mxError("MX_PLATFORM", { detail: "this system has no Unix users" });
  return uid;
}

/** Makes the directories where they are missing (0700), and checks each as `ensurePrivateDir` does. */
export function ensurePrivateDirs(dirs: Dirs, uid: number = ownUid()): void {
  for (const path of [dirs.config, dirs.data, dirs.runtime]) ensurePrivateDir(path, uid);
}

/**
 * Makes one directory where it is missing (0700, and so its parents), and refuses with MX_INSECURE_PATH
 * what is a symbolic link or no directory, what another user owns or may enter, and what somebody else
 * could swap because a directory above it lets them. Permissions that are there are never changed.
 */
export function ensurePrivateDir(path: string, uid: number = ownUid()): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // A dangling link or a file in its place is for the check below to name.
    if (!isThere(path))
      throw mxError(
        "MX_CANNOT_WRITE",
        {
          path,
          detail: reasonFor(path) ?? (error instanceof Error ? error.message : String(error)),
          hint: "check who owns the directories above it, and whether they may be written",
        },
        { cause: error },
      );
  }
  checkPrivateDir(path, uid);
}

/** The checks of `ensurePrivateDir` for a directory that may not be there yet, and then is nobody's. */
export function checkPrivateDir(path: string, uid: number = ownUid()): void {
  let stat: Stats | undefined;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw insecure(path, `cannot be looked at: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (stat === undefined) return;
  if (stat.isSymbolicLink()) throw insecure(path, "is a symbolic link");
  if (!stat.isDirectory()) throw insecure(path, "is not a directory");
  if (stat.uid !== uid) throw insecure(path, `belongs to uid ${stat.uid}`);
  if ((stat.mode & 0o077) !== 0) throw insecure(path, `can be entered by others (mode ${octal(stat)})`);
  // The directories above may be links (/home on some systems): what counts is where they lead.
  let above = realpathSync(dirname(path));
  for (;;) {
    checkAbove(above, path, uid);
    if (dirname(above) === above) return;
    above = dirname(above);
  }
}

/** Node's recursive mkdir calls everything that it cannot make "no such file"; the first one that is missing knows better. */
function reasonFor(path: string): string | undefined {
  let missing = path;
  while (!isThere(dirname(missing)) && dirname(missing) !== missing) missing = dirname(missing);
  try {
    mkdirSync(missing, { mode: 0o700 });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    // Not even to be looked at: a file where a directory should be, or one that we may not enter.
    return false;
  }
}

function checkAbove(above: string, path: string, uid: number): void {
  const stat = lstatSync(above);
  if (stat.uid !== uid && stat.uid !== 0)
    throw insecure(above, `above ${basename(path)}, belongs to uid ${stat.uid}, who could replace it`);
  const sticky = (stat.mode & 0o1000) !== 0;
  const othersWrite = (stat.mode & 0o002) !== 0;
  // A group of one's own (umask 002) is nobody else.
  const groupWrites = (stat.mode & 0o020) !== 0 && stat.gid !== process.getgid?.();
  if (!sticky && (othersWrite || groupWrites))
    throw insecure(above, `above ${basename(path)}, can be written by others (mode ${octal(stat)})`);
}

function octal(stat: Stats): string {
  return (stat.mode & 0o7777).toString(8).padStart(4, "0");
}

function insecure(path: string, detail: string): Error {
  return mxError("MX_INSECURE_PATH", { path, detail, mode: "0700" });
}
