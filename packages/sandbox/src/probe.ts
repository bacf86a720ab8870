import { execFile } from "node:child_process";
import { access, constants, realpath } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { BubblewrapFeature, MachineCapabilities } from "./api.ts";
import { probeLimits } from "./limits.ts";

/** Longest wait for one try, in milliseconds. */
const TRY_MS = 10_000;

const FEATURE_OPTIONS: Readonly<Record<BubblewrapFeature, string>> = {
  bind_fd: "--bind-fd",
  disable_userns: "--disable-userns",
  argv0: "--argv0",
  size: "--size",
};

/** Finds out what this machine can do by doing it: some 20 ms. Limits are those of the process `pid`. */
export async function probeMachine(pid = process.pid): Promise<MachineCapabilities> {
  const [bubblewrap, limits] = await Promise.all([probeBubblewrap(), probeLimits({ proc: "/proc", pid })]);
  return { bubblewrap, limits };
}

async function probeBubblewrap(): Promise<MachineCapabilities["bubblewrap"]> {
  if (process.platform !== "linux")
    return { available: false, reason: `bubblewrap exists on Linux only, this is ${process.platform}` };
  const path = await findProgram("bwrap");
  if (path === undefined)
    return { available: false, reason: "bwrap is not on PATH; install the package bubblewrap" };
  const help = await run(path, ["--help"]);
  const version = /bubblewrap (\S+)/.exec((await run(path, ["--version"])).output)?.[1];
  if (version === undefined) return { available: false, reason: `${path} does not answer as bubblewrap` };
  const features = featuresIn(help.output);
  const tried = await run(path, [
    ...["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"],
    ...(features.includes("disable_userns") ? ["--disable-userns"] : []),
    ...["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"],
    ...["--", "/bin/sh", "-c", ":"],
  ]);
  if (tried.status === 0) return { available: true, path, version, features };
  const said = tried.output.trim().split("\n").at(-1) ?? "";
  return { available: false, reason: `bubblewrap ${version} cannot make a sandbox here: ${said}` };
}

function featuresIn(help: string): BubblewrapFeature[] {
  const options = new Set(help.match(/--[a-z0-9-]+/g) ?? []);
  const names: BubblewrapFeature[] = ["bind_fd", "disable_userns", "argv0", "size"];
  return names.filter((name) => options.has(FEATURE_OPTIONS[name]));
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? "/usr/bin:/bin").split(delimiter)) {
    if (!directory.startsWith("/")) continue;
    try {
      const path = await realpath(join(directory, name));
      await access(path, constants.X_OK);
      return path;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  }
  return undefined;
}

function run(file: string, args: string[]): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      { timeout: TRY_MS, killSignal: "SIGKILL", env: {}, cwd: "/" },
      (_error, stdout, stderr) => resolve({ status: child.exitCode, output: stdout + stderr }),
    );
  });
}
