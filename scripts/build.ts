/**
 * Bundles the command line (which imports daemon, runner and homeserver lazily) into dist/, as ES
 * modules with shared chunks, writes the entry file that an old Node can parse, and the licences of what
 * is in the bundle.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { manPages } from "@mx-agent/cli";
import { type BuildOptions, build, type Metafile } from "esbuild";
import { writeEntry } from "./entry.ts";
import { root } from "./tasks.ts";

const manifest: { version: string; dependencies: Record<string, string> } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
);
/** Made beside and moved into place, so that what runs meanwhile finds the old bundle or the new one, whole. */
const dist = join(root, "dist");
const made = join(root, `.cache/dist-${process.pid}`);
mkdirSync(made, { recursive: true });
process.once("exit", () => rmSync(made, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.once(signal, () => process.exit(128 + constants.signals[signal]));

const shared: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node24",
  define: { "process.env.MX_AGENT_VERSION": JSON.stringify(manifest.version) },
  legalComments: "linked",
  logLevel: "error",
};

/** What the command line loads only in the command that needs it, as ES modules with shared chunks. */
const lazy: Record<string, string> = {
  "@mx-agent/daemon": "daemon",
  "@mx-agent/homeserver": "homeserver",
  "@mx-agent/policy": "policy",
  "@mx-agent/runner": "runner",
  "smol-toml": "toml",
};
const library = await build({
  ...shared,
  entryPoints: Object.fromEntries(Object.entries(lazy).map(([name, file]) => [file, name])),
  outdir: join(made, "lib"),
  outExtension: { ".js": ".mjs" },
  splitting: true,
  format: "esm",
  external: Object.keys(manifest.dependencies),
  banner: {
    js: 'import { createRequire as __mxCreateRequire } from "node:module"; const require = __mxCreateRequire(import.meta.url);',
  },
  chunkNames: "[name]-[hash]",
  metafile: true,
});

/** One CommonJS file: loading ES modules takes longer than all that a command does (packages/cli/bench/start.bench.ts). */
const program = await build({
  ...shared,
  entryPoints: { cli: "packages/cli/src/main.ts" },
  outdir: made,
  outExtension: { ".js": ".cjs" },
  format: "cjs",
  plugins: [
    {
      name: "lazy",
      setup({ onResolve }) {
        onResolve({ filter: /^(@mx-agent\/|smol-toml$)/ }, ({ path }) => {
          const file = lazy[path];
          return file === undefined ? undefined : { path: `./lib/${file}.mjs`, external: true };
        });
      },
    },
    {
      // commander loads it at once, for subcommands that are programs of their own: we have none.
      name: "commander-without-child-process",
      setup({ onResolve, onLoad }) {
        onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
          importer.includes("/node_modules/commander/") ? { path: "none", namespace: "none" } : undefined,
        );
        onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "module.exports = {};" }));
      },
    },
  ],
  metafile: true,
});

const metafile: Metafile = {
  inputs: { ...library.metafile.inputs, ...program.metafile.inputs },
  outputs: { ...library.metafile.outputs, ...program.metafile.outputs },
};
// The architecture test reads this; it is not published.
mkdirSync(join(root, ".cache"), { recursive: true });
writeFileSync(
  join(root, ".cache", "bundle-meta.json"),
  JSON.stringify(metafile).replaceAll(`.cache/dist-${process.pid}/`, "dist/"),
);

writeFileSync(join(made, "package.json"), '{ "type": "commonjs" }\n');
writeFileSync(join(made, "THIRD-PARTY-LICENSES.txt"), licencesOf(metafile));
await writeEntry(made);

// Where `man` finds them once npm has installed the package for everybody.
mkdirSync(join(made, "man"));
for (const { name, text } of await manPages(manifest.version))
  writeFileSync(join(made, "man", `${name}.1`), text);

const old = `${made}.old`;
if (existsSync(dist)) renameSync(dist, old);
renameSync(made, dist);
rmSync(old, { recursive: true, force: true });

/** The licence texts of all packages of others that the bundle has code of. A package without one ends the build. */
function licencesOf({ outputs }: Metafile): string {
  const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs));
  // The last node_modules of a path is the one that the package is in.
  const folders = inputs.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file) ?? []);
  const texts = [...new Set(folders)].sort().map((folder) => {
    const files = readdirSync(join(root, folder)).filter((name) => /^(licen[cs]e|notice)/i.test(name));
    if (files.length === 0) throw new Error(`${folder} is in the bundle, and has no file with its licence`);
    const { name, version, license }: { name: string; version: string; license: string } = JSON.parse(
      readFileSync(join(root, folder, "package.json"), "utf8"),
    );
    const text = files.map((file) => readFileSync(join(root, folder, file), "utf8").trim()).join("\n\n");
    return `${name} ${version} (${license})\n\n${text}`;
  });
  const line = "-".repeat(80);
  return [
    "mx-agent contains code of these packages, under their own licences.",
    ...texts.map((text) => `${line}\n${text}`),
    "",
  ].join("\n\n");
}
