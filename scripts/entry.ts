/**
 * The program file of the package and the code cache beside it, from which a command starts a quarter sooner.
 *
 * The cache is made here and is as trusted as the program. Node's own (`enableCompileCache`) holds no function
 * that is compiled when it is first called, which are most; and by default it lies below /tmp, where another
 * user can be first to make the directory, and leave there what we would then run.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

/** Has it compiled, with the functions that it called, for the commands that are called most. */
const RECORDED = [
  ["daemon", "status"],
  ["exec", "--room", "room", "--agent", "agent", "--", "true"],
];

/**
 * JavaScript that every Node can read: compiles cli.cjs as `require` would, from the cache where this Node made
 * it. V8 refuses that of another build of itself, but does not look at the architecture. `name` is the script's.
 */
const compile = (name: string) => `var fs = require("node:fs");
  var vm = require("node:vm");
  var file = __dirname + "/cli.cjs";
  var cache = __dirname + "/cli-" + process.version + "-" + process.arch + ".cache";
  // ASCII: what else there is was escaped by the bundler.
  var script = new vm.Script("(function (require, load) {" + fs.readFileSync(file, "latin1") + "\\n})", {
    filename: ${name},
    cachedData: fs.existsSync(cache) ? fs.readFileSync(cache) : undefined
  });
  function load(module) {
    return require("./load.cjs")(module);
  }`;

/** What is compiled from a cache cannot import by itself, and an old Node could not read the word. */
const loader = "module.exports = (module) => import(module);\n";

const entry = `#!/usr/bin/env node
if (Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write("mx-agent needs Node 24 or later; this is " + process.version + " (" + process.execPath + ")\\n");
  process.exit(78);
} else {
  ${compile("file")}
  script.runInThisContext()(require, load);
}
`;

/** Runs a command from the cache so far, and leaves one that knows what it called, too. No path gets into the cache. */
const recorder = `{
  ${compile('"cli.cjs"')}
  process.on("exit", () => fs.writeFileSync(cache, script.createCachedData()));
  script.runInThisContext()(require, load);
}
`;

/**
 * Writes mx-agent.js and its code cache into `directory`, where cli.cjs and lib are. An error when the program
 * does not run. What it starts and leaves elsewhere ends with this process, also when a signal ends it.
 */
export async function writeEntry(directory: string): Promise<void> {
  const [program, recording] = [join(directory, "mx-agent.js"), join(directory, "record.cjs")];
  const bundle = join(directory, "cli.cjs");
  writeFileSync(bundle, readFileSync(bundle, "latin1").replaceAll(/\bimport\("/g, 'load("'));
  writeFileSync(join(directory, "load.cjs"), loader);
  writeFileSync(program, entry);
  chmodSync(program, 0o755);
  writeFileSync(recording, recorder);
  const home = mkdtempSync(join(temporary(), "mx-"));
  const env = { PATH: process.env.PATH, HOME: home, MX_AGENT_HOME: home };
  const daemon = spawn(process.execPath, [program, "daemon", "start", "--foreground"], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const tidy = () => {
    daemon.kill();
    rmSync(home, { recursive: true, force: true });
    rmSync(recording, { force: true });
  };
  process.once("exit", tidy);
  const ended = once(daemon, "close");
  const said: Buffer[] = [];
  daemon.stderr.on("data", (bytes: Buffer) => said.push(bytes));
  const run = (file: string, args: readonly string[]) =>
    spawnSync(process.execPath, [file, ...args], { env });
  while (run(program, ["daemon", "status"]).status !== 0) {
    await setImmediate();
    if (daemon.exitCode !== null || daemon.signalCode !== null)
      throw new Error(`the daemon that was built does not start: ${Buffer.concat(said).toString()}`);
  }
  for (const args of RECORDED) run(recording, args);
  daemon.kill();
  await ended;
  process.off("exit", tidy);
  tidy();
}

/** Where a socket's path is short enough: at most 107 bytes. */
function temporary(): string {
  return tmpdir().length < 70 ? tmpdir() : "/tmp";
}
