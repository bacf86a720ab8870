/** The machine without mx-agent: Node, our directories, the disk. */
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { effectiveConfig, ensurePrivateDir, toMxError } from "@mx-agent/base";
import { bytes } from "../render/time.ts";
import { type Finding, failure, ok, warning } from "./finding.ts";
import type { World } from "./world.ts";

const OLDEST_NODE = 24;
const MIB = 1024 * 1024;

/** `version` as process.version has it. */
export function checkNode(version: string, platform: NodeJS.Platform, arch: string): Finding {
  const major = Number(/^v(\d+)/.exec(version)?.[1]);
  if (major < OLDEST_NODE)
    return failure("node", `Node ${version} is too old`, `install Node ${OLDEST_NODE} or later`);
  const here = `Node ${version} on ${platform} ${arch}`;
  if (platform === "linux") return ok("node", here);
  return platform === "darwin"
    ? warning("node", `${here}: there is no sandbox for macOS yet`, 'a policy has to say `sandbox = "none"`')
    : failure("node", `${here} is not supported`, "use Linux, macOS, or WSL2 on Windows");
}

/** Each directory is there or can be made, is ours alone, and takes a file; what is secret in it is ours alone, too. */
export function checkDirectories({ dirs }: World): Finding[] {
  const found = [dirs.config, dirs.data, dirs.runtime].flatMap((path) => privateAndWritable(path) ?? []);
  found.push(...openFiles(join(dirs.data, "keys"), /\.seed$/), ...openFiles(dirs.data, /^state\.db/));
  return found.length > 0
    ? found
    : [ok("directories", `yours alone, and writable: ${dirs.config}, ${dirs.data}, ${dirs.runtime}`)];
}

function privateAndWritable(path: string): Finding | undefined {
  if (existsSync(path) || lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    try {
      ensurePrivateDir(path);
    } catch (error) {
      const { message, hint } = toMxError(error);
      return failure("directories", message, hint, ownDirectory(path) ? closing(path, 0o700) : undefined);
    }
  }
  const nearest = nearestThere(path);
  const file = join(nearest, `.mx-agent-doctor-${randomUUID()}`);
  try {
    writeFileSync(file, "x", { mode: 0o600, flag: "wx" });
    unlinkSync(file);
    return undefined;
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return failure(
      "directories",
      `nothing can be written in ${nearest}: ${detail}`,
      "make it writable for you, free space on it, or name another one (MX_AGENT_HOME)",
    );
  }
}

function ownDirectory(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o077) !== 0;
}

function nearestThere(path: string): string {
  return existsSync(path) ? path : nearestThere(dirname(path));
}

/** Files that others may read. */
function openFiles(directory: string, names: RegExp): Finding[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => names.test(name) && (lstatSync(join(directory, name)).mode & 0o077) !== 0)
    .map((name) => {
      const path = join(directory, name);
      return failure("directories", `others may read ${path}`, `chmod 600 ${path}`, closing(path, 0o600));
    });
}

const closing = (path: string, mode: number) => async () => {
  chmodSync(path, mode);
  return `chmod ${mode.toString(8)} ${path}`;
};

/** A mistake in config.toml or in a variable of ours, which every command would trip over. */
export async function checkConfiguration({ cli, dirs }: World): Promise<Finding> {
  try {
    const { file } = await effectiveConfig({ configDir: dirs.config, env: cli.env });
    return ok("configuration", existsSync(file) ? file : "none; defaults are in force");
  } catch (error) {
    const { message, hint } = toMxError(error);
    return failure("configuration", message, hint);
  }
}

/** Room for the audit log, without which nothing runs, and for output. */
export function checkDisk({ dirs }: World): Finding {
  const path = nearestThere(dirs.data);
  const { bavail, bsize, ffree, files } = statfsSync(path);
  const free = bavail * bsize;
  const text = `${bytes(free)} free at ${path}`;
  if (free < 64 * MIB) return failure("disk", text, "free some: without room for the audit log nothing runs");
  if (files > 0 && ffree < 1000)
    return failure("disk", `${ffree} files can still be made at ${path}`, "remove files on that file system");
  if (free < 1024 * MIB)
    return warning("disk", text, "`mx-agent invocation prune` removes the output of what has ended");
  return ok("disk", text);
}
