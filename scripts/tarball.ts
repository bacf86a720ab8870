/**
 * Makes mx-agent for machines without Node and without npm: one file with Node inside, as
 * mx-agent-VERSION-linux-x64.tar.gz. `npm run tarball -- [--to DIRECTORY] [--cpu x64|arm64]`, which builds the
 * bundle. Everything comes from npm, as the lockfile says, without install scripts.
 *
 * On the machine: `tar -xzf mx-agent-….tar.gz`, then `mx-agent-…/bin/mx-agent`, from any directory, also by a link to it.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { version } from "@mx-agent/base";
import { root } from "./tasks.ts";

const { values } = parseArgs({
  options: { to: { type: "string", default: root }, cpu: { type: "string", default: process.arch } },
});
const { to, cpu } = values;
if (cpu !== "x64" && cpu !== "arm64") throw new Error(`--cpu ${cpu}: x64 or arm64`);

interface Manifest {
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
}
const read = (path: string): Manifest => JSON.parse(readFileSync(join(root, path), "utf8"));
const nodePackage = `node-linux-${cpu}`;
const nodeVersion = read("scripts/package.json").optionalDependencies[nodePackage];

/** Follows links to itself; the shell is the one that every Linux has. */
const launcher = `#!/bin/sh
self=$(readlink -f "$0")
here=\${self%/bin/*}
exec "$here/lib/node_modules/${nodePackage}/bin/node" "$here/lib/node_modules/mx-agent/dist/mx-agent.js" "$@"
`;

const name = `mx-agent-${version()}-linux-${cpu}`;
const work = mkdtempSync(join(tmpdir(), "mx-tarball-"));
try {
  const lib = join(work, name, "lib");
  mkdirSync(lib, { recursive: true });
  const npm = (...args: string[]) =>
    execFileSync("npm", [...args, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
  const [packed]: { filename: string }[] = JSON.parse(npm("pack", "--json", "--pack-destination", work));
  if (packed === undefined) throw new Error("npm pack made nothing");
  const wanted = [join(work, packed.filename), `${nodePackage}@${nodeVersion}`];
  npm(
    "install",
    "--prefer-offline",
    "--prefix",
    lib,
    "--os=linux",
    `--cpu=${cpu}`,
    "--no-save",
    "--no-package-lock",
    ...wanted,
  );
  mkdirSync(join(work, name, "bin"));
  const program = join(work, name, "bin", "mx-agent");
  writeFileSync(program, launcher);
  chmodSync(program, 0o755);
  const file = join(resolve(to), `${name}.tar.gz`);
  // Of nobody in particular, whoever unpacks it.
  execFileSync("tar", ["-C", work, "--owner=0", "--group=0", "--numeric-owner", "-czf", file, name]);
  process.stdout.write(`${file}\n`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
