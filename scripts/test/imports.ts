/** What the sources and the bundle import, for the tests that hold the architecture. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../tasks.ts";

export type ImportKind = "static" | "type" | "dynamic";

export interface Import {
  /** Relative to the project, for example packages/cli/src/main.ts. */
  file: string;
  specifier: string;
  kind: ImportKind;
}

export interface SourceFile {
  file: string;
  /** The name of its package's folder. */
  package: string;
  text: string;
  imports: Import[];
}

const statement = /^(?:import|export)\s+(type\s+)?(?:[\w*{][^;"']*?\sfrom\s+)?["']([^"']+)["']/gm;
const call = /(typeof\s+)?\bimport\(\s*["']([^"']+)["']/g;
const required = /(?<![.\w])(?:require|createRequire\([^()]*\))\(\s*["']([^"']+)["']/g;

/** Every import of a source as our formatter writes it; `import type`, and `import("…")` as a type, are types. */
export function importsOf(file: string, text: string): Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  for (const [, type, specifier = ""] of code.matchAll(statement))
    found.push({ file, specifier, kind: type === undefined ? "static" : "type" });
  for (const [, type, specifier = ""] of code.matchAll(call))
    found.push({ file, specifier, kind: type === undefined ? "dynamic" : "type" });
  for (const [, specifier = ""] of code.matchAll(required)) found.push({ file, specifier, kind: "dynamic" });
  return found;
}

export function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
}

/** Every source file of every package, tests and benches left out. */
export function sources(): SourceFile[] {
  return globSync("packages/*/src/**/*.ts", { cwd: root })
    .sort()
    .map((file) => {
      const text = readFileSync(join(root, file), "utf8");
      return { file, package: file.split("/")[1] ?? "", text, imports: importsOf(file, text) };
    });
}

/** The package that a specifier names: `@mx-agent/ipc/client` is `@mx-agent/ipc`. */
export function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

interface Output {
  entryPoint?: string;
  inputs: Record<string, unknown>;
  imports: { path: string; kind: string; external?: boolean }[];
}

export interface Bundle {
  /** Each chunk that something imports by name or lazily: its entry source, and all that loads with it. */
  entries: { source: string; inputs: string[]; externals: string[] }[];
  /** The sources of ours that import each Node module, in the bundle. */
  importersOf(module: string): string[];
}

/** Reads what `npm run build` wrote down about the bundle; throws when it was not run. */
export function readBundle(): Bundle {
  const meta: {
    inputs: Record<string, { imports: { path: string }[] }>;
    outputs: Record<string, Output>;
  } = JSON.parse(readFileSync(join(root, ".cache", "bundle-meta.json"), "utf8"));
  const entries = Object.entries(meta.outputs).flatMap(([path, output]) =>
    output.entryPoint === undefined ? [] : [{ source: output.entryPoint, ...loadedWith(path, meta.outputs) }],
  );
  return {
    entries,
    importersOf: (module) =>
      Object.entries(meta.inputs)
        .filter(
          ([file, { imports }]) =>
            !file.includes("node_modules/") && imports.some(({ path }) => path === module),
        )
        .map(([file]) => file),
  };
}

/** All that is evaluated when a chunk is: itself and its static imports, theirs too. */
function loadedWith(
  start: string,
  outputs: Record<string, Output>,
): { inputs: string[]; externals: string[] } {
  const seen = new Set<string>();
  const externals = new Set<string>();
  const waiting = [start];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const imported of outputs[path]?.imports ?? []) {
      if (imported.kind !== "import-statement") continue;
      if (imported.external) externals.add(imported.path);
      else waiting.push(imported.path);
    }
  }
  const inputs = [...seen].flatMap((path) => Object.keys(outputs[path]?.inputs ?? {}));
  return { inputs: inputs.sort(), externals: [...externals].sort() };
}
