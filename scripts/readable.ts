/**
 * Programs for tests that become another user. The checkout may lie below a directory that is its owner's alone, and a
 * process that has become nobody can load nothing from there.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { version } from "@mx-agent/base";
import { build } from "esbuild";
import { root } from "./tasks.ts";

export interface ReadableProgram {
  /** For everybody to read, and so is what it loads. */
  readonly file: string;
  /** A Node for everybody to execute. */
  readonly node: string;
  remove(): void;
}

/** Of the program at `entry` (TypeScript) one file that has all that it imports; with `koffi` beside it. */
export async function readableProgram(entry: string): Promise<ReadableProgram> {
  const dir = newDirectory();
  const file = join(dir, "program.mjs");
  await build({
    ...{
      entryPoints: [entry],
      outfile: file,
      bundle: true,
      platform: "node",
      format: "esm",
      logLevel: "error",
    },
    external: ["koffi"],
    define: { "process.env.MX_AGENT_VERSION": JSON.stringify(version()) },
    banner: {
      js: 'import { createRequire as __mxCreateRequire } from "node:module"; const require = __mxCreateRequire(import.meta.url);',
    },
  });
  for (const name of ["koffi", "@koromix"])
    copyOf(join(root, "node_modules", name), join(dir, "node_modules", name));
  return programIn(dir, file);
}

/** Of a directory with everything in it, where `name` is the program. */
export function readableCopy(directory: string, name: string): ReadableProgram {
  const dir = newDirectory();
  copyOf(directory, join(dir, "copy"));
  return programIn(dir, join(dir, "copy", name));
}

function programIn(dir: string, file: string): ReadableProgram {
  let node = process.execPath;
  if (!isForEverybody(node)) {
    node = join(dir, "node");
    copyOf(process.execPath, node);
  }
  return { file, node, remove: () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }) };
}

function newDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), "mx-readable-"));
  chmodSync(dir, 0o755);
  return dir;
}

function copyOf(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true });
}

function isForEverybody(path: string): boolean {
  if ((statSync(path).mode & 0o001) === 0) return false;
  return path === dirname(path) || isForEverybody(dirname(path));
}
