/**
 * What a command under bubblewrap tries against its host, and does not get. Each attempt is followed by
 * an ordinary run, which works.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type MachineCapabilities, probeMachine, type SandboxRequest } from "@mx-agent/sandbox";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../scripts/eventually.ts";
import type { RunSpec } from "../src/index.ts";
import { boundedBomb } from "./support/bomb.ts";
import { identity, nobody, processesWith, runner, self, type TestRunner } from "./support/harness.ts";

const { bubblewrap }: MachineCapabilities = await probeMachine();
const unavailable = bubblewrap.available ? "" : ` (NOT RUN: ${bubblewrap.reason})`;
const canChange = self.uid === 0 && spawnSync("setpriv", ["--version"]).status === 0;
const users = [
  { who: self.uid === 0 ? "root" : "this user", user: self, skip: !bubblewrap.available },
  { who: "an ordinary user", user: nobody, skip: !bubblewrap.available || !canChange },
];
const MiB = 1024 * 1024;

for (const { who, user, skip } of users)
  describe.skipIf(skip)(`a sandboxed command of ${who}${unavailable}`, () => {
    let one: TestRunner;
    let server: Server;
    let port = 0;

    const sandbox = (
      more: Partial<Extract<SandboxRequest, { backend: "bubblewrap" }>> = {},
    ): SandboxRequest => ({
      backend: "bubblewrap",
      network: "deny",
      writable_paths: [one.project],
      read_only_paths: [],
      hidden_paths: [one.home],
      ...more,
    });
    const sh = (script: string, more: Partial<RunSpec> = {}) =>
      one.sh(script, { sandbox: sandbox(), ...more });
    const limited = (more: Partial<RunSpec["limits"]>) => ({ ...one.spec(["true"]).limits, ...more });

    beforeAll(async () => {
      one = await runner(user, { MX_TEST_CANARY: "canary-in-the-runners-environment" });
      server = createServer((socket) => socket.end("reached\n"));
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = server.address();
      port = typeof address === "object" && address !== null ? address.port : 0;
    });
    afterEach(async () => {
      expect(await sh("echo fine > ordinary; cat ordinary")).toMatchObject({
        exit_code: 0,
        stdout: "fine\n",
      });
    });
    afterAll(async () => {
      server.close();
      await one[Symbol.asyncDispose]();
    });

    it("sees the system, its project, and an empty HOME and /tmp", async () => {
      const end = await sh(
        "pwd; ls -A $HOME /tmp /var/tmp | grep -v mx-project; touch $HOME/a /tmp/b mine; id -u; ls /usr/bin/env",
      );
      expect(end).toMatchObject({ outcome: "exited", exit_code: 0, stderr: "" });
      expect(end.stdout).toBe(
        `${one.project}\n/home/agent:\n\n/tmp:\n\n/var/tmp:\n${user.uid}\n/usr/bin/env\n`,
      );
      expect(existsSync(join(one.project, "mine"))).toBe(true);
    });

    it("gets its exit code through, its environment exactly, and no descriptor", async () => {
      expect(await sh("exit 9")).toMatchObject({ outcome: "exited", exit_code: 9, error: null });
      const env = await one.run(["env"], { sandbox: sandbox(), env: { A: "1", HOME: "/home/agent" } });
      // bubblewrap adds PWD; nothing else.
      expect(env.stdout.trim().split("\n").sort()).toEqual(["A=1", "HOME=/home/agent", `PWD=${one.project}`]);
      expect((await sh("ls /proc/self/fd")).stdout).toBe("0\n1\n2\n3\n");
    });

    it("does not write outside of its project", async () => {
      const targets = ["/etc/x", "/usr/x", "/usr/bin/x", "/x", "/opt/x", "/var/x", "/dev/x", "/run/x"];
      const end = await sh(
        targets.map((path) => `(echo x > ${path}) 2>/dev/null && echo WROTE ${path}`).join("\n"),
      );
      expect(end.stdout).toBe("");
      // Opened for writing only: what is tried here must do no harm where it succeeds.
      const kernel = await sh(
        "for path in $(find /proc -maxdepth 1 -type f) $(find /proc/sys /proc/irq /proc/fs /proc/driver -type f); do (: >> $path) && echo OPENED $path; done 2>/dev/null; true",
      );
      expect(kernel.stdout).toBe("");
      await sh("echo x > /tmp/escaped-here; echo x > /var/tmp/escaped-here; echo x > $HOME/escaped");
      expect([
        existsSync("/tmp/escaped-here"),
        existsSync("/var/tmp/escaped-here"),
        existsSync("/home/agent"),
      ]).toEqual([false, false, false]);
    });

    it("does not change the mounts, make devices, or read what root alone may", async () => {
      const end = await sh(
        "mount -o remount,rw /usr; mount --bind /usr /tmp; umount /proc; mknod x b 8 0; chroot / true; cat /etc/shadow; cat /etc/sudoers; ls /root; true",
      );
      expect(end.stdout).toBe("");
      expect((await sh("grep CapEff /proc/self/status")).stdout).toMatch(/CapEff:\s+0+\n/);
      expect((await sh("grep NoNewPrivs /proc/self/status")).stdout).toMatch(/1\n/);
    });

    it("does not find the runner's directory, its socket or a hidden one", async () => {
      mkdirSync(join(one.project, "..", "never"), { recursive: true });
      const end = await sh(
        `ls -la ${one.home} ${one.dir} ${one.socket}; find /tmp /var /run /home /root /etc /opt /dev -name r.sock -o -name runner.lock -o -type s; true`,
      );
      expect(end.stdout).toBe("");
    });

    it("does not see the runner, this test or any other process, nor their environments", async () => {
      const end = await sh(
        `for pid in ${process.pid} ${one.client.pid} ${one.guard_pid}; do grep -a mx-runner /proc/$pid/cmdline; done; grep -al canary-in-the-runners-environment /proc/*/environ; ls -d /proc/[0-9]* | wc -l; kill -9 ${one.client.pid} ${process.pid}`,
      );
      const [processes, ...rest] = end.stdout.trim().split("\n");
      expect(rest).toEqual([]);
      expect(Number(processes)).toBeLessThan(8);
    });

    it("reaches no network, and only with the policy's word", async () => {
      const reach = ["bash", "-c", `cat < /dev/tcp/127.0.0.1/${port}; ls /sys/class/net; true`];
      expect((await one.run(reach, { sandbox: sandbox() })).stdout).toBe("");
      expect((await one.run(reach, { sandbox: sandbox({ network: "allow" }) })).stdout).toBe("reached\n");
    });

    it("has no terminal to type into", async () => {
      const end = await sh("(: < /dev/tty) 2>/dev/null && echo TTY; cut -d' ' -f7 /proc/$$/stat");
      expect(end.stdout).toBe("0\n");
    });

    it("makes no namespace of its own", async () => {
      const end = await sh(
        "unshare -U true && echo NESTED; unshare -Ur true && echo NESTED; unshare -m true && echo NESTED; true",
      );
      expect(end.stdout).toBe("");
    });

    it("does not load its library into the launcher", async () => {
      const source = join(one.project, "evil.c");
      writeFileSync(
        source,
        '#include <stdio.h>\n#include <unistd.h>\n__attribute__((constructor)) void in(void) { dprintf(2, "loaded\\n"); }\n',
      );
      const library = join(one.project, "evil.so");
      const compiled = spawnSync("cc", ["-shared", "-fPIC", "-o", library, source]).status === 0;
      const end = await one.run(["true"], { sandbox: sandbox(), env: { LD_PRELOAD: library } });
      // Once, in the command: its loader complains about it or obeys it. The launcher outside never sees it.
      const lines = end.stderr.trim().split("\n");
      expect(lines.filter((line) => line.includes(compiled ? "loaded" : "preload"))).toHaveLength(1);
    });

    it("leaves no daemon behind", async () => {
      const mark = `mxleft${process.pid}x${user.uid}`;
      await sh(`setsid sh -c 'sleep 600; : ${mark}' </dev/null >/dev/null 2>&1 & sleep 0.1`);
      await eventually(() => processesWith(mark).length === 0);
      const spec = one.spec(
        [
          "sh",
          "-c",
          `trap '' TERM; setsid sh -c "trap '' TERM; echo up; while :; do sleep 0.1; done; : ${mark}" & while :; do sleep 0.1; done`,
        ],
        { sandbox: sandbox() },
      );
      await one.start(spec);
      await one.says(spec.run_id, "up");
      await one.client.cancel(spec.run_id, 200);
      expect((await one.ended(spec.run_id)).outcome).toBe("cancelled");
      expect(processesWith(mark)).toEqual([]);
    });

    it("gets SIGTERM and its grace like any other", async () => {
      const spec = one.spec(
        ["sh", "-c", "trap 'echo cleaned; exit 4' TERM; echo up; while :; do sleep 0.05; done"],
        { sandbox: sandbox() },
      );
      await one.start(spec);
      await one.says(spec.run_id, "up");
      await one.client.cancel(spec.run_id);
      expect(await one.ended(spec.run_id)).toMatchObject({ outcome: "cancelled", exit_code: 4 });
      expect(await one.text(spec.run_id, "stdout")).toContain("cleaned");
    });

    it("that is a fork bomb is ended", async () => {
      const mark = `mxbomb${process.pid}x${user.uid}`;
      writeFileSync(join(one.project, "bomb.sh"), `# ${mark}\n${boundedBomb}`);
      chmodSync(join(one.project, "bomb.sh"), 0o755);
      const end = await one.run(["sh", "bomb.sh", mark], {
        sandbox: sandbox(),
        limits: limited({ max_processes: 40 }),
      });
      expect(end).toMatchObject({
        outcome: "signaled",
        signal: "SIGKILL",
        error: { code: "LIMIT_PROCESSES" },
      });
      await eventually(() => processesWith(mark).length === 0);
    });

    it("that takes more memory than it may is ended", async () => {
      const end = await sh("head -c 1000000000 /dev/zero | tail -n 1 | wc -c", {
        limits: limited({ max_memory_bytes: 300 * MiB }),
      });
      expect(end).toMatchObject({ outcome: "signaled", error: { code: "LIMIT_MEMORY" } });
    });

    it("that burns the CPU is ended", async () => {
      const end = await sh('timeout 60 sh -c "while :; do :; done"', {
        limits: limited({ max_cpu_seconds: 1 }),
      });
      expect(end).toMatchObject({ outcome: "signaled", error: { code: "LIMIT_CPU" } });
    });

    it("that writes an endless file into /tmp, HOME or /dev/shm comes to an end of it", async () => {
      const limits = limited({ max_memory_bytes: 64 * MiB });
      for (const directory of ["/tmp", "/home/agent", "/dev/shm"]) {
        const end = await sh(
          `head -c 500000000 /dev/zero > ${directory}/endless; stat -c %s ${directory}/endless`,
          { limits },
        );
        expect(Number(end.stdout)).toBeLessThanOrEqual(64 * MiB);
      }
    });

    it("that writes an endless file into its project comes to an end of it, and can raise no limit", async () => {
      const limits = limited({ max_file_bytes: MiB });
      const endless = "head -c 50000000 /dev/zero > endless; echo $?; stat -c %s endless";
      // By SIGXFSZ, and where that is ignored by an error.
      expect((await sh(endless, { limits })).stdout).toBe(`153\n${MiB}\n`);
      expect((await sh(`trap '' XFSZ; ${endless}`, { limits })).stdout).toBe(`1\n${MiB}\n`);
      const raised = await sh(
        `ulimit -f unlimited; ulimit -Hf; setsid sh -c '${endless}'; truncate -s 2M x`,
        {
          limits,
        },
      );
      expect(raised.stdout).toBe(`2048\n153\n${MiB}\n`);
      expect((await sh("head -c 2000000 /dev/zero > large; stat -c %s large")).stdout).toBe("2000000\n");
    });

    it("that writes without an end is cut off", async () => {
      const end = await sh("yes | head -c 100000000", { limits: limited({ max_output_bytes: MiB }) });
      expect(end).toMatchObject({ outcome: "output_limit", stdout_bytes: MiB, truncated: true });
    });

    it("does not start where a link was put in the place of its directory, nor show what a policy path became", async () => {
      mkdirSync(join(one.project, "checked"));
      const cwd = identity(join(one.project, "checked"));
      renameSync(cwd.path, `${cwd.path}.away`);
      symlinkSync("/etc", cwd.path);
      const swapped = one.spec(["ls"], { sandbox: sandbox(), cwd });
      expect((await one.start(swapped)).end).toMatchObject({ error: { code: "CHANGED" } });
      const linked = one.spec(["ls"], { sandbox: sandbox({ read_only_paths: [cwd.path] }) });
      expect((await one.start(linked)).end).toMatchObject({ error: { code: "CHANGED" } });
    });

    it("whose policy path contains a hidden one does not start", async () => {
      for (const path of [one.home, one.dir, "/tmp", "/"]) {
        const spec = one.spec(["ls"], {
          sandbox: sandbox({ writable_paths: [path] }),
          cwd: identity(one.project),
        });
        expect((await one.start(spec)).end).toMatchObject({
          outcome: "spawn_failed",
          error: { code: "SANDBOX_PATH" },
        });
      }
    });

    it("sees no hidden path that is written by way of a link, and has a HOME without one", async () => {
      const link = join(one.home, "link");
      symlinkSync(one.project, link);
      for (const hidden of [link, join(link, "not", "there")]) {
        const spec = one.spec(["ls"], { sandbox: sandbox({ hidden_paths: [hidden] }) });
        expect((await one.start(spec)).end).toMatchObject({ error: { code: "SANDBOX_PATH" } });
      }
      const { env } = one.spec(["true"]);
      const end = await sh("echo $HOME", { env: { ...env, HOME: join(link, "home") } });
      expect(end.stdout).toBe(`${join(one.project, "home")}\n`);
    });

    it("whose program the sandbox hides is told which line would show it", async () => {
      const outside = join(one.home, "tool");
      writeFileSync(outside, "#!/bin/sh\n", { mode: 0o755 });
      const spec = one.spec(["tool"], { sandbox: sandbox(), executable: identity(outside) });
      const { end } = await one.start(spec);
      expect(end?.error?.code).toBe("SANDBOX_HIDES_PROGRAM");
      expect(end?.error?.message).toContain("read_only_paths");
    });

    it("is called by the name that it was admitted under", async () => {
      const sh0 = await one.run(["otherwise", "-c", "echo $0"], {
        sandbox: sandbox(),
        executable: identity("/bin/sh"),
      });
      expect(sh0.stdout.trim().split("/").at(-1)).toBe("otherwise");
    });
  });

describe.skipIf(!bubblewrap.available)("a sandbox", () => {
  it("leaves nothing behind in /tmp, and no mount on the machine", async () => {
    await using one = await runner();
    const mounts = () => execFileSync("cat", ["/proc/self/mounts"]).toString();
    const [before, files] = [mounts(), readdirSync("/tmp").filter((name) => name.includes("argv0"))];
    await one.sh("true", {
      sandbox: {
        backend: "bubblewrap",
        network: "deny",
        writable_paths: [one.project],
        read_only_paths: [],
        hidden_paths: [],
      },
    });
    expect(mounts()).toBe(before);
    expect(readdirSync("/tmp").filter((name) => name.includes("argv0"))).toEqual(files);
  });
});
