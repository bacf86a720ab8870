/**
 * The product in a minute: two daemons and a homeserver on this machine, in a temporary directory, and a signed
 * command that runs on one of them for the other. Everything that is shown is done by the built `mx-agent`.
 * Ends with `demo: ok` and status 0, or with what went wrong; nothing of it stays.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { Machine, shown } from "./demo/machine.ts";
import { makeRepository, policyText } from "./demo/repository.ts";
import { eventually } from "./eventually.ts";
import { root } from "./tasks.ts";

let ending = false;
/** What is still under way when the demo ends says nothing any more. */
const say = (line: string) => {
  if (!ending) process.stdout.write(`${line}\n`);
};
const chapter = (title: string) => say(`\n== ${title}`);

say("mx-agent demo: a signed command runs on another agent's machine, through a Matrix room.");
const dir = mkdtempSync(join(tmpdir(), "mx-agent-demo-"));
const homeserver = new Machine("homeserver", dir, say);
const laptop = new Machine("laptop", dir, say);
const builder = new Machine("builder", dir, say);
const homeserverData = join(homeserver.home, "data");

/** Ends everything that was started, whatever happened, and removes the directory. */
async function cleanUp(): Promise<void> {
  await Promise.all([homeserver, laptop, builder].map((machine) => machine.leave()));
  try {
    await endRuns();
  } finally {
    for (const machine of [laptop, builder]) await machine.tidy(["daemon", "stop"]);
    await homeserver.tidy(["homeserver", "stop", "--data", homeserverData]);
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A runner with a run stays when its daemon stops, as it should; here nothing is to stay. */
async function endRuns(): Promise<void> {
  const { code, stdout } = await builder.tidy(["invocation", "list", "--json"]);
  // No daemon runs (yet), and nothing for it.
  if (code !== 0) return;
  const invocations: { invocation_id: string; state: string }[] = JSON.parse(stdout);
  for (const { invocation_id, state } of invocations)
    if (state === "running") await builder.tidy(["invocation", "cancel", invocation_id]);
  await eventually(async () => {
    const status = await builder.tidy(["daemon", "status", "--json"]);
    return status.code !== 0 || JSON.parse(status.stdout).running_invocations === 0;
  }, "nothing runs");
}

/** What ends the demo early: a signal, or a reader of its output who left. */
class Interrupted extends Error {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** Rejects when the demo is to end early. Each further signal is heard and changes nothing: the end is on its way. */
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => reject(new Interrupted(`ended by ${signal}`, 128 + constants.signals[signal])));
  process.stdout.on("error", (error) =>
    reject(new Interrupted(error.message, 128 + constants.signals.SIGPIPE)),
  );
});

async function demo(): Promise<void> {
  const build = spawn(process.execPath, [join(root, "scripts", "build.ts")], { stdio: "inherit" });
  const [built] = await once(build, "close");
  if (built !== 0) throw new Error("the build failed");

  chapter("A homeserver: here the embedded one; Synapse, Tuwunel or a public one do as well");
  await homeserver.run(["homeserver", "start", "--bind", "127.0.0.1:0", "--data", homeserverData]);
  const { url } = await homeserver.json(["homeserver", "status", "--data", homeserverData]);
  for (const name of ["laptop", "builder"])
    await homeserver.run(["homeserver", "user", "add", name, "--password-stdin", "--data", homeserverData], {
      input: `${name}-password-1`,
    });

  chapter("Two daemons. Each only dials out, to the homeserver, and each has a signing key of its own");
  for (const machine of [laptop, builder]) {
    await machine.run(["daemon", "start"]);
    const login = ["auth", "login", "--homeserver", String(url), "--user", machine.name, "--password-stdin"];
    await machine.run(login, { input: `${machine.name}-password-1` });
  }

  chapter("A workspace: an end-to-end encrypted Matrix room. Being in it allows nothing");
  const created = await laptop.json(["workspace", "create", "demo"]);
  const room = String(created.room_id);
  say(`\n  laptop$ mx-agent workspace create demo\n  ${room}`);
  await laptop.run(["workspace", "invite", "--room", room, "@builder:localhost"]);
  await laptop.run(["workspace", "grant", "--room", room, "@builder:localhost"]);
  await builder.run(["workspace", "accept", room]);

  chapter("An agent on each machine, and each approves the other's key by its fingerprint");
  const repository = join(builder.home, "roman");
  makeRepository(repository);
  await laptop.run(["agent", "register", "--room", room, "--agent", "laptop"]);
  await builder.run(["agent", "register", "--room", room, "--agent", "builder", "--cwd", repository]);
  for (const [machine, peer] of [
    [laptop, builder],
    [builder, laptop],
  ] as const) {
    const { stdout } = await peer.run(["trust", "fingerprint"]);
    await machine.run(["trust", "approve", "--room", room, peer.name, "--fingerprint", stdout.trim()]);
  }

  chapter("The builder's policy. What it does not allow is refused");
  const policy = policyText({
    room,
    user: "@laptop:localhost",
    project: repository,
    node: process.execPath,
    sandbox: hasBubblewrap() ? "bubblewrap" : "none",
  });
  mkdirSync(join(builder.home, "config"), { recursive: true, mode: 0o700 });
  writeFileSync(join(builder.home, "config", "policy.toml"), policy, { mode: 0o600 });
  for (const line of policy.trimEnd().split("\n")) say(`  | ${line}`);
  if (!hasBubblewrap())
    say("\n  (bubblewrap is not on this machine, or may not be used: the commands run without a sandbox)");
  await builder.run(["policy", "check"]);

  chapter("A real command: the test suite on the builder, its output live");
  const exec = (...command: string[]) => ["exec", "--room", room, "--agent", "builder", "--", ...command];
  const started = performance.now();
  const seen: number[] = [];
  const { code, stderr } = await laptop.follow(
    exec(process.execPath, "--test", "--test-reporter=spec"),
    (line) => {
      seen.push(performance.now() - started);
      if (line.trim() !== "") say(`  +${((performance.now() - started) / 1000).toFixed(2)} s  ${line}`);
    },
  );
  say(`  exit code ${code}`);
  if (code !== 0) throw new Error(`the test suite failed: ${stderr}`);
  if ((seen.at(-1) ?? 0) - (seen[0] ?? 0) < 500)
    throw new Error("the output did not arrive while the command ran");

  chapter("Its standard input comes from here: a remote sort");
  const sorted = await laptop.run(exec("sort"), { input: "pear\napple\nfig\n" });
  if (sorted.stdout !== "apple\nfig\npear\n")
    throw new Error(`sort answered ${JSON.stringify(sorted.stdout)}`);

  chapter("A command outside of the policy is refused, and the builder's operator can see why");
  await laptop.run(exec("rm", "-rf", "/"), { expect: 77 });
  const [refused] = Object.values(await laptop.json(["invocation", "list"]));
  const { request_id } = refused as { request_id: string };
  await builder.run(["policy", "explain", request_id]);

  chapter("Ctrl-C ends the remote command, and everything that it started");
  await interrupt(exec(process.execPath, "patience.mjs"));

  chapter("The builder's audit log: each decision and each outcome, chained and verified");
  await builder.run(["audit", "tail", "--lines", "4"]);
  await builder.run(["audit", "verify"]);
}

/** Runs a long command, sends SIGINT to the CLI once it runs, and looks whether what it started there is gone. */
async function interrupt(args: string[]): Promise<void> {
  say(`\n  laptop$ mx-agent ${shown(args)}`);
  const child = laptop.spawn(args);
  const all = await eventually(
    () => (remoteSleeps().length === 2 ? remoteSleeps() : undefined),
    "the remote sleeps run",
  );
  say(`  (it has started two sleeps there, process ${all.join(" and process ")})`);
  child.kill("SIGINT");
  say("  ^C");
  const code = await new Promise((resolve) => child.on("close", resolve));
  await eventually(() => remoteSleeps().length === 0, "the remote sleeps are gone");
  say(`  exit code ${code}; the remote sleeps are gone`);
  if (code !== 130) throw new Error(`Ctrl-C ended with ${code}, not 130`);
}

/** Each `sleep 600` of this demo. */
function remoteSleeps(): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && isRemoteSleep(join("/proc", entry)))
    .map(Number);
}

function isRemoteSleep(entry: string): boolean {
  try {
    const argv = readFileSync(join(entry, "cmdline"), "utf8").split("\0");
    if (!argv[0]?.endsWith("sleep") || argv[1] !== "600") return false;
    // In a sandbox the variables name the directory, without one the working directory is it.
    return (
      readFileSync(join(entry, "environ"), "utf8").includes(dir) ||
      readlinkSync(join(entry, "cwd")).startsWith(dir)
    );
  } catch {
    // It ended while we looked.
    return false;
  }
}

function hasBubblewrap(): boolean {
  return spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;
}

try {
  await Promise.race([demo(), interrupted]);
  await cleanUp();
  say("\ndemo: ok");
} catch (error) {
  say(`\ndemo: failed: ${error instanceof Error ? error.message : String(error)}`);
  ending = true;
  await cleanUp();
  process.exit(error instanceof Interrupted ? error.status : 1);
}
