import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { basename, dirname, join } from "node:path";
import { IPC_VERSION } from "@mx-agent/ipc";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { startHomeserverForTests, type TestHomeserver } from "../../../../scripts/homeservers.ts";
import { readableCopy } from "../../../../scripts/readable.ts";
import { isAlive } from "../../src/background/alive.ts";
import { closeAll, type Machine, newMachine } from "../support/machine.ts";

let homeserver: TestHomeserver;
const machines: Machine[] = [];
beforeAll(async () => {
  homeserver = await startHomeserverForTests();
});
afterAll(async () => {
  await closeAll(machines).finally(() => homeserver?.close());
});

async function fresh(name = "box"): Promise<Machine> {
  const machine = await newMachine({ name, homeserver });
  machines.push(machine);
  return machine;
}

describe("daemon start", () => {
  test("returns when the daemon answers, in a session of its own and with nothing of ours open", async () => {
    const box = await fresh();
    expect(await box.run(["daemon", "status"])).toMatchObject({ code: 3 });
    const started = await box.run(["daemon", "start"]);
    expect(started).toMatchObject({ code: 0, stderr: "" });
    const pid = await box.daemonPid();
    expect(started.stdout).toContain(String(pid));
    const [, session] = /\) \S+ \d+ \d+ (\d+)/.exec(await readFile(`/proc/${pid}/stat`, "utf8")) ?? [];
    expect(Number(session)).toBe(pid);
    expect(await readlink(`/proc/${pid}/fd/0`)).toBe("/dev/null");
    expect(await readlink(`/proc/${pid}/fd/1`)).toBe(join(box.home, "data", "daemon.log"));
    expect(await readlink(`/proc/${pid}/fd/2`)).toBe(join(box.home, "data", "daemon.log"));
  });

  test("inherits no descriptor, as high as it may be, from the shell that it is typed in", async () => {
    const box = await fresh();
    const held = join(box.home, "held");
    await writeFile(held, "");
    const shell = spawn(
      "bash",
      [
        "-c",
        `exec 5<>"${held}" 40>>"${held}" 251<>"${held}"; "$@"`,
        "bash",
        ...box.command,
        "daemon",
        "start",
      ],
      {
        env: box.env,
      },
    );
    await once(shell, "close");
    const pid = await box.daemonPid();
    const fds = await readdir(`/proc/${pid}/fd`);
    const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
    expect(targets).not.toContain(held);
  });

  test("a second time says that one runs, and with which pid", async () => {
    const box = await fresh();
    await box.startDaemon();
    const again = await box.run(["daemon", "start"]);
    expect(again.code).toBe(78);
    expect(again.stderr).toContain("MX_ALREADY_RUNNING");
    expect(again.stderr).toContain(String(await box.daemonPid()));
  });

  test("ten at once make one daemon", async () => {
    const box = await fresh();
    const starts = await Promise.all(Array.from({ length: 10 }, () => box.run(["daemon", "start"])));
    expect(starts.filter(({ code }) => code === 0).length).toBeGreaterThanOrEqual(1);
    for (const { code, stderr } of starts) if (code !== 0) expect(stderr).toContain("MX_ALREADY_RUNNING");
    await box.daemonPid();
  });

  test("with -v logs more, here and in the background, and without it as before", async () => {
    const box = await fresh();
    const asked = async () => {
      await box.ask(["daemon", "status"]);
      return (await box.run(["daemon", "logs"])).stdout.split("\n").filter((line) => line.includes("asked"));
    };
    const started = await box.run(["daemon", "start", "-v"]);
    // However often it was asked until it answered.
    expect(started.stderr.match(/asking at \S+agent\.sock\n/g)).toHaveLength(1);
    expect((await asked()).at(-1)).toMatch(/method=daemon.status role=agent/);
    const before = (await asked()).length;
    expect(await box.run(["daemon", "restart"])).toMatchObject({ code: 0, stderr: "" });
    expect(await asked()).toHaveLength(before + 1);
    await box.run(["daemon", "stop"]);
    const foreground = box.spawn(["daemon", "start", "--foreground", "-vv"]);
    await eventually(async () => (await box.run(["daemon", "status"])).code === 0);
    await foreground.until("daemon.status");
    foreground.signal("SIGINT");
    expect((await foreground.ended).code).toBe(0);
  });

  test("says why it cannot: a plain file where the socket should be", async () => {
    const box = await fresh();
    await box.startDaemon();
    await box.run(["daemon", "stop"]);
    await writeFile(join(box.home, "runtime", "daemon.sock"), "in the way");
    const failed = await box.run(["daemon", "start"]);
    expect(failed.code).toBe(78);
    expect(failed.stderr).toContain("MX_SOCKET_PATH");
  });

  test("says why it cannot: a path that is too long for a socket", async () => {
    const box = await fresh();
    const long = join(box.home, "x".repeat(120));
    const failed = await box.run(["daemon", "start"], { env: { MX_AGENT_RUNTIME_DIR: long } });
    expect(failed.code).toBe(78);
    expect(failed.stderr).toContain("MX_SOCKET_PATH");
  });

  test("does not hand the login's password on to the daemon", async () => {
    const box = await fresh();
    await box.ask(["daemon", "start"], { env: { MX_AGENT_PASSWORD: "for one login" } });
    const environment = await readFile(`/proc/${await box.daemonPid()}/environ`, "utf8");
    expect(environment).not.toContain("for one login");
  });
});

describe("a daemon", () => {
  test("stops within five seconds of SIGTERM, leaves no socket, and can start again", async () => {
    const box = await fresh();
    await box.startDaemon();
    const pid = await box.daemonPid();
    process.kill(pid, "SIGTERM");
    await eventually(async () => !isAlive(pid));
    await expect(stat(join(box.home, "runtime", "daemon.sock"))).rejects.toThrow(/ENOENT/);
    expect(await box.run(["daemon", "status"])).toMatchObject({ code: 3 });
    await box.startDaemon();
    expect(await box.daemonPid()).not.toBe(pid);
  });

  test("that was killed leaves nothing in the way of the next", async () => {
    const box = await fresh();
    await box.startDaemon();
    const pid = await box.daemonPid();
    process.kill(pid, "SIGKILL");
    await eventually(async () => !isAlive(pid));
    expect(await box.run(["daemon", "status"])).toMatchObject({ code: 3 });
    await box.startDaemon();
    expect(await box.daemonPid()).not.toBe(pid);
  });

  test("whose directory of sockets was removed by somebody is reached again, and so is its runner", async () => {
    const box = await fresh();
    await box.startDaemon();
    const pid = await box.daemonPid();
    const runtime = join(box.home, "runtime");
    const before = (await readdir(runtime)).sort();
    expect(before).toEqual(["agent.sock", "daemon.json", "daemon.sock", "runner.sock"]);
    await rm(runtime, { recursive: true });
    await eventually(async () => {
      const there = await readdir(runtime).catch((): string[] => []);
      return before.every((name) => there.includes(name));
    });
    expect(await box.daemonPid()).toBe(pid);
    expect(((await stat(runtime)).mode & 0o777).toString(8)).toBe("700");
    for (const name of before) expect(((await stat(join(runtime, name))).mode & 0o077).toString(8)).toBe("0");
    expect(await box.run(["daemon", "restart"])).toMatchObject({ code: 0 });
    await box.run(["daemon", "stop"]);
    expect(await readdir(runtime)).toEqual([]);
  });

  test("restarts as another process on the same account", async () => {
    const box = await fresh();
    await box.startDaemon();
    await box.login();
    const before = await box.ask<{ pid: number; account: object }>(["daemon", "status"]);
    await box.ask(["daemon", "restart"]);
    const after = await box.ask<{ pid: number; account: object }>(["daemon", "status"]);
    expect(after.pid).not.toBe(before.pid);
    expect(after.account).toEqual(before.account);
  });

  test("in the foreground ends with Ctrl-C", async () => {
    const box = await fresh();
    const daemon = box.spawn(["daemon", "start", "--foreground"]);
    await eventually(async () => (await box.run(["daemon", "status"])).code === 0);
    daemon.signal("SIGINT");
    expect((await daemon.ended).code).toBe(0);
  });

  test("shows its log, and goes on showing it", async () => {
    const box = await fresh();
    await box.startDaemon();
    expect((await box.run(["daemon", "logs", "-n", "50"])).stdout).toContain("listening");
    const following = box.spawn(["daemon", "logs", "-f", "-n", "50"]);
    await following.until("listening");
    await box.run(["daemon", "stop"]);
    await following.until("the daemon has stopped");
    following.signal("SIGINT");
    await following.ended;
  });

  test("keeps everything of its own to itself", async () => {
    const box = await fresh();
    await box.startDaemon();
    for (const path of ["runtime/daemon.sock", "runtime/agent.sock", "data/state.db", "data/daemon.log"])
      expect([path, (await stat(join(box.home, path))).mode & 0o077]).toEqual([path, 0]);
    for (const path of ["runtime", "data", "config"])
      expect([path, (await stat(join(box.home, path))).mode & 0o777]).toEqual([path, 0o700]);
  });
});

describe("what is sent to the socket that is not JSON-RPC", () => {
  test("garbage, half a frame and a length of 4 GiB disturb nobody else", async () => {
    const box = await fresh();
    await box.startDaemon();
    const pid = await box.daemonPid();
    const socket = join(box.home, "runtime", "agent.sock");
    const pieces = [
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.from([0, 0, 1]),
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7b]),
      Buffer.from([0, 0, 0, 2, 0x7b, 0x7b]),
    ];
    for (const piece of pieces) {
      await new Promise<void>((resolve) => {
        const client = createConnection({ path: socket }, () => client.end(piece));
        client.on("error", () => resolve());
        client.on("close", () => resolve());
        client.resume();
      });
    }
    expect(await box.daemonPid()).toBe(pid);
  });

  test.runIf(process.getuid?.() === 0)("another uid is told that the daemon is not its own", async () => {
    const box = await fresh();
    await box.startDaemon();
    const mxAgent = box.command[1] ?? "";
    const readable = readableCopy(dirname(mxAgent), basename(mxAgent));
    onTestFinished(() => readable.remove());
    const program = `process.argv.splice(1, 0, ${JSON.stringify(readable.file)}); await import(process.argv[1]);`;
    expect(await asNobody(box, program, "daemon", "status")).toMatch(
      /MX_(SOCKET_FORBIDDEN|PEER_UID|INSECURE_PATH)/,
    );
  });

  test.runIf(process.getuid?.() === 0)(
    "another uid is refused by the daemon even where the files would let it",
    async () => {
      const box = await fresh();
      await box.startDaemon();
      const socket = join(box.home, "runtime", "agent.sock");
      await chmod(box.home, 0o711);
      await chmod(join(box.home, "runtime"), 0o711);
      await chmod(socket, 0o666);
      const hello = { version: IPC_VERSION, mx_agent: "0.1.0" };
      const body = JSON.stringify({ jsonrpc: "2.0", id: 0, method: "hello", params: hello });
      const program = `const { createConnection } = await import("node:net");
      const frame = Buffer.alloc(4 + ${Buffer.byteLength(body)});
      frame.writeUInt32BE(frame.length - 4);
      frame.write(${JSON.stringify(body)}, 4);
      createConnection(${JSON.stringify(socket)}, function () { this.write(frame); })
        .on("data", (data) => { process.stderr.write(data.subarray(4)); process.exit(); });`;
      expect(await asNobody(box, program)).toContain("MX_PEER_UID");
      const status = await box.run(["daemon", "status"]);
      expect(status.code).toBe(78);
      expect(status.stderr).toMatch(/can be entered by others/);
      await chmod(join(box.home, "runtime"), 0o700);
    },
  );
});

/** Runs a program after it has become nobody; what it wrote to stderr. */
async function asNobody(box: Machine, program: string, ...args: string[]): Promise<string> {
  const become = "process.setgroups([]); process.setgid(65534); process.setuid(65534);";
  const child = spawn(process.execPath, ["--input-type=module", "-e", `${become} ${program}`, ...args], {
    env: box.env,
    cwd: "/",
  });
  let said = "";
  for await (const chunk of child.stderr) said += chunk;
  return said;
}
