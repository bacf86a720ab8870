/**
 * A peer whose commands are allowed, in a sandbox, and who tries for the rest of the machine: through the whole way of
 * a request. Nothing gets through, each attempt is on record, and an ordinary command works right after it.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { probeMachine } from "@mx-agent/sandbox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TwoDaemons, twoDaemons } from "../../../cli/test/support/two-daemons.ts";
import { boundedBomb } from "../../../runner/test/support/bomb.ts";
import { processesWith } from "../../../runner/test/support/harness.ts";

const { bubblewrap } = await probeMachine();
const MiB = 1024 * 1024;
const CANARY = "canary-of-the-builder";

const PUSHED = "echo-pushed-into-the-terminal";
/** Pushes a line into every terminal that it has or can open (TIOCSTI, 0x5412 on Linux). */
const typing = `for my $path ("/dev/tty", "/dev/console", glob("/dev/pts/*"), map { "/proc/self/fd/$_" } 0 .. 255) {
  open(my $terminal, "+<", $path) or open($terminal, "<", $path) or next;
  for (split //, "${PUSHED}\\n") { ioctl($terminal, 0x5412, $_) or goto NEXT }
  print "TYPED $path\\n"; last;
  NEXT:
}
print "tried\\n";
`;

describe.skipIf(!bubblewrap.available)("a peer's sandboxed command", () => {
  let they: TwoDaemons;
  let server: Server;
  let port = 0;
  let attempts = 0;
  beforeAll(async () => {
    they = await twoDaemons({
      policy: (room, user, project) => `version = 1
[execution]
max_processes = 40
max_memory_bytes = ${300 * MiB}
max_file_bytes = ${2 * MiB}
env_allowlist = ["GREETING"]
[rooms."${room}"]
trusted = true
[rooms."${room}".agents."${user}"]
allow_exec = true
allow_commands = ["sh", "bash", "echo", "perl"]
allow_cwd = ["${project}"]
`,
    });
    writeFileSync(join(they.builder.home, "secret"), CANARY);
    server = createServer((socket) => socket.end(CANARY));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
  });
  afterAll(async () => {
    server?.close();
    await they?.close();
  });

  async function audit(): Promise<Record<string, unknown>[]> {
    const { stdout } = await they.builder.run(["audit", "tail", "-n", "1000", "--json"]);
    return stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }
  const lastDecision = async () => (await audit()).findLast(({ kind }) => kind === "decision");

  /** Runs an attempt; it is on record, and the next ordinary command works. */
  async function attempt(words: string[], flags: string[] = []) {
    const mark = `attempt-${++attempts}`;
    const ran = await they.exec([...words, mark], { flags });
    const lines = await audit();
    const decisions = lines.filter(
      ({ kind, command }) => kind === "decision" && JSON.stringify(command).includes(`"${mark}"`),
    );
    expect(decisions).toHaveLength(1);
    const [decision] = decisions;
    const outcomes = lines.filter(
      ({ kind, invocation_id }) => kind === "outcome" && invocation_id === decision?.invocation_id,
    );
    expect(outcomes).toHaveLength(decision?.decision === "allow" ? 1 : 0);
    expect(await they.exec(["echo", "fine"])).toMatchObject({ code: 0, stdout: "fine\n" });
    return { ...ran, decision: decision?.decision, outcome: outcomes[0] ?? {} };
  }
  const sh = (script: string) => attempt(["sh", "-c", script]);

  test("finds neither the token, the keys, the record, the policy nor a socket", async () => {
    const { home } = they.builder;
    const found = await sh(
      `cat ${home}/secret; ls -A ${home} ${home}/data ${home}/config ${home}/run; cat ${home}/data/keys/* ${home}/data/state.db; find / -xdev \\( -name '*.sock' -o -name '*.seed' -o -name state.db -o -name policy.toml \\) 2>/dev/null; true`,
    );
    // Of its home it sees the way to the project, and nothing else.
    expect(found.stdout.replaceAll("project\n", "").replaceAll(`${home}:\n`, "").trim()).toBe("");
    await sh(`mkdir -p ${home}/config; echo 'version = 1' > ${home}/config/policy.toml; rm -rf ${home}/data`);
    expect(readdirSync(join(home, "data")).length).toBeGreaterThan(3);
  });

  test("sees no process, environment or network of the machine", async () => {
    const pid = await they.builder.daemonPid();
    const seen = await sh(
      `cat /proc/${pid}/environ /proc/${pid}/cmdline; grep -al MX_AGENT_HOME /proc/*/environ; kill -9 ${pid}; ls /sys/class/net`,
    );
    expect(seen.stdout).toBe("");
    const reach = await attempt(["bash", "-c", `cat < /dev/tcp/127.0.0.1/${port}`]);
    expect(reach.stdout).toBe("");
    expect(reach.code).not.toBe(0);
  });

  test("makes no namespace and gains no capability", async () => {
    const tried = await sh(
      `unshare -Ur true && echo NESTED; mkdir /tmp/m; mount -t tmpfs x /tmp/m && echo MOUNTED && umount /tmp/m; grep CapEff /proc/self/status`,
    );
    expect(tried.stdout).toMatch(/^CapEff:\s+0+\n$/);
  });

  test("types into no terminal, also where its daemon runs in one", async () => {
    // What it tries does type, from a process of root's that is started in a terminal.
    writeFileSync(join(they.project, "type.pl"), typing);
    const control = spawnSync("script", ["-qec", `perl ${they.project}/type.pl`, "/dev/null"], {
      encoding: "utf8",
      input: "",
    });
    if (process.getuid?.() === 0) expect(control.stdout).toContain("TYPED");
    await they.builder.ask(["daemon", "stop"]);
    const terminal = they.builder.spawnAtTerminal(["daemon", "start", "--foreground"]);
    await terminal.until("listening");
    await expect.poll(async () => (await they.builder.run(["daemon", "status"])).code).toBe(0);
    const tried = await attempt(["perl", "type.pl"]);
    expect([tried.decision, tried.stdout]).toEqual(["allow", "tried\n"]);
    expect(terminal.stdout).not.toContain(PUSHED);
    await they.builder.ask(["daemon", "stop"]);
    await terminal.ended;
    await they.builder.startDaemon();
  });

  test("writes nowhere but in its project", async () => {
    const tried = await sh(
      "for path in /etc/x /usr/bin/x /opt/x /var/x /x /dev/x; do (echo x > $path) 2>/dev/null && echo WROTE $path; done; echo x > /tmp/mx-escaped; echo mine > mine",
    );
    expect(tried.stdout).toBe("");
    expect([existsSync("/tmp/mx-escaped"), existsSync(join(they.project, "mine"))]).toEqual([false, true]);
  });

  test("comes to the end of its memory, its processes and its file", async () => {
    // Its own limits, far above the policy's, only keep this machine from harm if the policy's fail.
    const memory = await sh("ulimit -v 2000000; head -c 10000000000 /dev/zero | tail -n 1 | wc -c");
    expect(memory.outcome).toMatchObject({ outcome: "signaled", error: "LIMIT_MEMORY" });
    const mark = `mxjourneybomb${process.pid}`;
    writeFileSync(join(they.project, "bomb.sh"), boundedBomb);
    const bomb = await attempt(["sh", "bomb.sh", mark]);
    expect(bomb.outcome).toMatchObject({ outcome: "signaled", error: "LIMIT_PROCESSES" });
    await expect.poll(() => processesWith(mark), { timeout: 10_000 }).toEqual([]);
    const file = await sh("(ulimit -f 100000; cat /dev/zero > endless); stat -c %s endless");
    expect(file.stdout).toBe(`${2 * MiB}\n`);
  });

  test("leaves no daemon behind", async () => {
    const mark = `mxjourneyleft${process.pid}`;
    await sh(`setsid sh -c 'trap "" TERM; sleep 600; : ${mark}' </dev/null >/dev/null 2>&1 & sleep 0.1`);
    await expect.poll(() => processesWith(mark), { timeout: 10_000 }).toEqual([]);
  });

  test("never runs at the end of a link that its directory is swapped for while it is started", async () => {
    const { project, builder, room } = they;
    const [swapped, outside] = [join(project, "swapped"), join(builder.home, "outside")];
    for (const dir of [swapped, outside]) mkdirSync(dir);
    writeFileSync(join(outside, "canary"), CANARY);
    const script = fileURLToPath(new URL("support/swap.ts", import.meta.url));
    const swapper = spawn(process.execPath, [script, swapped, outside], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(swapper.stdout, "data");
    try {
      for (let round = 0; round < 3; round++) {
        const target = ["exec", "--room", room, "--agent", "builder", "--cwd", swapped];
        const words = ["sh", "-c", "echo mine > mine; ls -A; cat canary"];
        const four = [1, 2, 3, 4].map(() => they.laptop.run([...target, "--", ...words]));
        for (const { stdout } of await Promise.all(four)) expect(["", "mine\n"]).toContain(stdout);
      }
    } finally {
      swapper.stdin.end();
      await once(swapper, "exit");
    }
    expect(readdirSync(outside)).toEqual(["canary"]);
    expect(await they.exec(["echo", "fine"])).toMatchObject({ code: 0, stdout: "fine\n" });
  });

  test("is not started elsewhere, nor as another program, nor with a variable that steers it", async () => {
    const { project, builder, room } = they;
    symlinkSync("/etc", join(project, "link"));
    mkdirSync(join(builder.home, "beside"));
    for (const cwd of [join(project, "..", "beside"), join(project, "link"), "/", "relative"]) {
      const target = ["exec", "--room", room, "--agent", "builder", "--cwd", cwd];
      const ran = await they.laptop.run([...target, "--", "echo", "there"]);
      expect([cwd, ran.code]).toEqual([cwd, 77]);
      expect(await lastDecision()).toMatchObject({ decision: "deny", cwd });
    }
    writeFileSync(join(project, "echo"), "#!/bin/sh\necho another\n", { mode: 0o755 });
    for (const program of ["./echo", join(project, "echo"), "/bin/dash", "../../bin/sh"])
      expect([program, (await attempt([program])).decision]).toEqual([program, "deny"]);
    for (const variable of ["LD_PRELOAD=./x.so", "PATH=.", "BASH_ENV=./x", "GITHUB_TOKEN=x", "UNLISTED=x"]) {
      const ran = await they.exec(["echo", "steered"], { flags: ["--env", variable] });
      expect([variable, ran.stdout, ran.code === 0]).toEqual([variable, "", false]);
      // What is a secret by its name was not even sent.
      if (!variable.startsWith("GITHUB")) expect((await lastDecision())?.decision).toBe("deny");
    }
    expect((await attempt(["sh", "-c", "echo $GREETING"], ["--env", "GREETING=hello"])).stdout).toBe(
      "hello\n",
    );
  });
});
