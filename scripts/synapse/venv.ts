import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { root } from "../tasks.ts";

const run = promisify(execFile);
const pythons = ["python3", "/usr/bin/python3", "python3.13", "python3.12", "python3.11"];

/** The machine lacks what a Python environment needs (an interpreter, a package index). Tests skip on it. */
export class VenvUnavailable extends Error {
  override name = "VenvUnavailable";
}

/**
 * The path of a Python interpreter in a cached virtual environment that holds `packages`, made on first
 * use with `python3 -m venv` and pip. `name` is the folder's, under `.cache` of the project; where that
 * can't be written, or was made by somebody whose Python we may not run, under the user's own cache.
 *
 * @param packages requirements as pip takes them, exactly pinned: `["matrix-synapse==1.163.2"]`
 * @throws VenvUnavailable with pip's or Python's own words
 */
export async function pythonVenv(name: string, packages: readonly string[]): Promise<string> {
  const wanted = JSON.stringify(packages);
  const own = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "mx-agent");
  const places = [join(root, ".cache"), own];
  for (const place of places) {
    const found = await usable(join(place, name), wanted);
    if (found) return found;
  }
  for (const place of places) if (writable(place)) return make(place, name, packages, wanted);
  throw new VenvUnavailable(`neither ${places.join(" nor ")} can be written`);
}

async function usable(venv: string, wanted: string): Promise<string | undefined> {
  try {
    if (readFileSync(join(venv, ".complete"), "utf8") !== wanted) return undefined;
    const python = join(venv, "bin", "python");
    await run(python, ["-c", ""]);
    return python;
  } catch {
    return undefined;
  }
}

function writable(place: string): boolean {
  try {
    mkdirSync(place, { recursive: true });
    const probe = join(place, `.probe-${process.pid}`);
    writeFileSync(probe, "");
    rmSync(probe);
    return true;
  } catch {
    return false;
  }
}

async function make(
  place: string,
  name: string,
  packages: readonly string[],
  wanted: string,
): Promise<string> {
  using _lock = await exclusive(join(place, `${name}.lock`));
  const venv = join(place, name);
  const made = await usable(venv, wanted);
  if (made) return made;
  process.stderr.write(`making a Python environment for ${packages.join(" ")} in ${venv}\n`);
  rmSync(venv, { recursive: true, force: true });
  try {
    await run(await basePython(), ["-m", "venv", venv]);
    const python = join(venv, "bin", "python");
    const options = ["--quiet", "--no-input", "--disable-pip-version-check"];
    await run(python, ["-m", "pip", "install", ...options, ...packages], { maxBuffer: 1 << 26 });
    writeFileSync(join(venv, ".complete"), wanted);
    return python;
  } catch (error) {
    rmSync(venv, { recursive: true, force: true });
    if (error instanceof VenvUnavailable) throw error;
    throw new VenvUnavailable(`no Python environment for ${packages.join(" ")}: ${words(error)}`);
  }
}

async function basePython(): Promise<string> {
  for (const python of pythons) {
    try {
      await run(python, ["-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 10)"]);
      return python;
    } catch {
      // The next candidate may do; when none does, the error below names them all.
    }
  }
  throw new VenvUnavailable(`no Python 3.10 or later with venv and ensurepip (tried ${pythons.join(", ")})`);
}

/**
 * Waits for a lock that the kernel gives back when its holder dies: an exclusive transaction on an empty
 * SQLite file. A lock file with a pid in it would outlive a killed process.
 */
async function exclusive(file: string): Promise<Disposable> {
  const database = new DatabaseSync(file);
  for (;;) {
    try {
      database.exec("BEGIN EXCLUSIVE");
      return { [Symbol.dispose]: () => database.close() };
    } catch (error) {
      if (!(error instanceof Error) || !/locked|busy/.test(error.message)) {
        database.close();
        throw error;
      }
      await sleep(200);
    }
  }
}

function words(error: unknown): string {
  if (typeof error === "object" && error !== null && "stderr" in error && error.stderr) {
    return String(error.stderr).trim().split("\n").slice(-5).join("\n");
  }
  return error instanceof Error ? error.message : String(error);
}
