/**
 * Makes the fixture of a release: `node scripts/fixture-home.ts`, with the bundle of that release built. A homeserver and
 * two machines that have run something for each other in an encrypted workspace, stopped, as
 * packages/cli/test/upgrade/home-VERSION.tar.gz. Later versions must go on with it (upgrade.journey.test.ts); one that is
 * there is never made anew. Its accounts and keys exist for nothing else.
 */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "@mx-agent/base";
import { Machine } from "./demo/machine.ts";
import { root } from "./tasks.ts";

const target = join(root, "packages/cli/test/upgrade", `home-${version()}.tar.gz`);
if (existsSync(target)) throw new Error(`${target} is there, and stays as it was released`);

const dir = mkdtempSync(join(tmpdir(), "mx-fixture-"));
const quiet = () => {};
const homeserver = new Machine("homeserver", dir, quiet);
const laptop = new Machine("laptop", dir, quiet);
const builder = new Machine("builder", dir, quiet);
const data = join(homeserver.home, "data");
const project = join(builder.home, "project");

const SETTLES_WITHIN_MS = 30_000;

async function settled(machine: Machine): Promise<void> {
  for (const deadline = performance.now() + SETTLES_WITHIN_MS; performance.now() < deadline; ) {
    const { outbox_depth } = await machine.json(["daemon", "status"]);
    if (outbox_depth === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${machine.name} has not sent what it has to send within ${SETTLES_WITHIN_MS / 1000} s`);
}

try {
  await homeserver.run(["homeserver", "start", "--bind", "127.0.0.1:0", "--data", data]);
  const { url } = await homeserver.json(["homeserver", "status", "--data", data]);
  for (const machine of [laptop, builder]) {
    const input = `${machine.name}-password-1`;
    await homeserver.run(["homeserver", "user", "add", machine.name, "--password-stdin", "--data", data], {
      input,
    });
    await machine.run(["daemon", "start"]);
    const login = ["--homeserver", String(url), "--user", machine.name, "--password-stdin"];
    await machine.run(["auth", "login", ...login], { input });
  }
  const { room_id } = await laptop.json(["workspace", "create", "farm"]);
  const room = String(room_id);
  await laptop.run(["workspace", "invite", "@builder:localhost", "--room", room]);
  await laptop.run(["workspace", "grant", "@builder:localhost", "--room", room]);
  await builder.run(["workspace", "accept", room]);
  mkdirSync(project);
  await laptop.run(["agent", "register", "--room", room, "--agent", "laptop"]);
  await builder.run(["agent", "register", "--room", room, "--agent", "builder", "--cwd", project]);
  for (const [machine, peer] of [
    [laptop, builder],
    [builder, laptop],
  ] as const) {
    const { fingerprint } = await peer.json(["trust", "fingerprint"]);
    await machine.run(["trust", "approve", peer.name, "--room", room, "--fingerprint", String(fingerprint)]);
  }
  writeFileSync(
    join(builder.home, "config", "policy.toml"),
    `version = 1
[execution]
sandbox = "none"
[rooms."${room}"]
trusted = true
[rooms."${room}".agents."@laptop:localhost"]
allow_exec = true
allow_unsandboxed = true
allow_commands = ["echo"]
allow_cwd = ["${project}"]
`,
    { mode: 0o600 },
  );
  writeFileSync(
    join(laptop.home, "config", "config.toml"),
    'default_room = "farm"\ndefault_agent = "builder"\n',
  );
  await builder.run(["daemon", "reload"]);
  await laptop.run(["exec", "--", "echo", `from ${version()}`]);
  await laptop.run(["exec", "--", "rm", "x"], { expect: 77 });
  await Promise.all([settled(laptop), settled(builder)]);
  for (const machine of [laptop, builder]) await machine.run(["daemon", "stop"]);
  await homeserver.run(["homeserver", "stop", "--data", data]);
  mkdirSync(join(target, ".."), { recursive: true });
  const left = readdirSync(laptop.home);
  const names = ["homeserver", "laptop", "builder"];
  // Sockets and locks are of a moment; logs may name this machine.
  const without = ["runtime", "*.log", "*.lock", "lock.db*"].flatMap((name) => ["--exclude", name]);
  const whole = join(dir, "home.tar.gz");
  execFileSync("tar", ["-C", dir, "--owner=0", "--group=0", ...without, "-czf", whole, ...names], {
    stdio: "inherit",
  });
  // Under its name it is whole or not there.
  copyFileSync(whole, `${target}.new`);
  renameSync(`${target}.new`, target);
  process.stdout.write(`${target}, of homes with ${left.join(", ")}\n`);
} finally {
  for (const machine of [laptop, builder])
    await machine.run(["daemon", "stop"], { quiet: true }).catch(quiet);
  await homeserver.run(["homeserver", "stop", "--data", data]).catch(quiet);
  rmSync(dir, { recursive: true, force: true });
}
