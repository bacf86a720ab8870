import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { FrameDecoder } from "@mx-agent/base";
import { describe, expect, it } from "vitest";
import { eventually } from "../../../scripts/eventually.ts";
import { connectRunner, RUNNER_VERSION, type RunnerClient } from "../src/index.ts";
import { processInfo } from "../src/processes.ts";
import { decodeMessage, encodeMessage } from "../src/wire.ts";
import { entry, processesWith, runner, sha256, TestRunner } from "./support/harness.ts";

let words = 0;
const word = () => `mxmark${process.pid}x${++words}x`;

/** A child that counts its starts, and a daemon of its own that let go of everything. */
const twoProcesses = (mark: string) =>
  `echo started >> starts; setsid sh -c 'while :; do sleep 0.1; done; : ${mark}' </dev/null >/dev/null 2>&1 & echo up; while :; do sleep 0.1; done; : ${mark}`;

async function closed(client: RunnerClient): Promise<void> {
  await new Promise<void>((resolve) => client.on("closed", resolve));
}

async function startsOf(one: TestRunner): Promise<string> {
  return (await one.sh("cat starts")).stdout;
}

describe("a daemon that is started again", () => {
  it("finds its runs, their output from the first byte, and their stdin where it was", async () => {
    await using one = await runner();
    const spec = one.spec(["sh", "-c", "echo first; cat; echo last"], { stdin: true });
    const { pid } = await one.start(spec);
    await one.says(spec.run_id, "first");
    await one.client.stdin(spec.run_id, 0, Buffer.from("before "), false);
    const runner_pid = one.client.pid;
    one.client.close();

    await one.connect();
    expect(one.client.pid).toBe(runner_pid);
    const [state] = await one.client.list();
    expect(state).toMatchObject({ run_id: spec.run_id, pid, stdin_bytes: 7, stdin_ended: false, end: null });
    expect((await one.start(spec)).pid).toBe(pid);
    await one.client.stdin(spec.run_id, 7, Buffer.from("after\n"), true);
    await one.ended(spec.run_id);
    expect(await one.text(spec.run_id, "stdout")).toBe("first\nbefore after\nlast\n");
  });

  it("learns of an end that came while it was away", async () => {
    await using one = await runner();
    const spec = one.spec(["sh", "-c", "read -r go < go.fifo; echo out; exit 5"]);
    await one.sh("mkfifo go.fifo");
    await one.start(spec);
    one.client.close();
    const go = spawn("sh", ["-c", "echo go > go.fifo"], { cwd: one.project });
    await once(go, "exit");
    await one.connect();
    await eventually(async () => (await one.client.list()).every((run) => run.end !== null));
    const state = (await one.client.list()).find((run) => run.run_id === spec.run_id);
    expect(state).toMatchObject({ end: { outcome: "exited", exit_code: 5, stdout_sha256: sha256("out\n") } });
  });

  it("does not lose a deadline that passes while it is away", async () => {
    await using one = await runner();
    const limits = { ...one.spec(["true"]).limits, max_runtime_ms: 300 };
    const spec = one.spec(["sleep", "600"], { limits });
    await one.start(spec);
    one.client.close();
    await one.connect();
    await eventually(async () => (await one.client.list()).every((run) => run.end !== null));
    expect((await one.client.list())[0]?.end?.outcome).toBe("timed_out");
  });

  it("does not get more output than may be written while it is away", async () => {
    await using one = await runner();
    const go = join(one.project, "go");
    const limits = { ...one.spec(["true"]).limits, max_output_bytes: 10_000 };
    const mark = word();
    const spec = one.spec(["sh", "-c", `until [ -e ${go} ]; do sleep 0.02; done; yes; : ${mark}`], {
      limits,
    });
    await one.start(spec);
    const gone = closed(one.client);
    one.client.close();
    await gone;
    writeFileSync(go, "");
    await eventually(() => processesWith(mark).length === 0);
    await one.connect();
    await eventually(async () => (await one.client.list()).every((run) => run.end !== null));
    const [state] = await one.client.list();
    expect(state?.end).toMatchObject({ outcome: "output_limit", stdout_bytes: 10_000, truncated: true });
  });
});

describe("a runner that is killed", () => {
  for (const victims of ["runner", "guard", "runner and guard"] as const) {
    it(`(${victims}) takes its children along, and their runs end as interrupted`, async () => {
      await using one = await runner();
      const mark = word();
      const spec = one.spec(["sh", "-c", twoProcesses(mark)]);
      await one.start(spec);
      await one.says(spec.run_id, "up");
      await eventually(() => processesWith(mark).length === 2);
      const done = closed(one.client);
      const { pid } = one.client;
      const guard = one.guard_pid;
      if (victims !== "runner") process.kill(guard, "SIGKILL");
      if (victims !== "guard") process.kill(pid, "SIGKILL");
      await done;
      // With both gone at once nobody is there to do it before the next runner is.
      if (victims !== "runner and guard") await eventually(() => processesWith(mark).length === 0);

      await one.connect();
      expect(processesWith(mark)).toEqual([]);
      const [state] = await one.client.list();
      expect(state).toMatchObject({ run_id: spec.run_id, end: { outcome: "interrupted", stdout_bytes: 3 } });
      expect(state?.end?.stdout_sha256).toBe(sha256("up\n"));
      expect((await one.start(spec)).end?.outcome).toBe("interrupted");
      expect(await startsOf(one)).toBe("started\n");
    });
  }

  it("and comes back leaves the runs of every other runner of the machine alone", async () => {
    await using one = await runner();
    await using other = await runner();
    const [mine, theirs] = [one.spec(["sleep", "600"]), other.spec(["sleep", "600"])];
    await one.start(mine);
    const { pid } = await other.start(theirs);
    const done = closed(one.client);
    process.kill(one.guard_pid, "SIGKILL");
    process.kill(one.client.pid, "SIGKILL");
    await done;
    await one.connect();
    expect((await one.client.list())[0]?.end?.outcome).toBe("interrupted");
    expect((await other.client.list())[0]).toMatchObject({ pid, end: null });
    expect(processInfo(pid ?? 0)?.state).not.toBe("Z");
  });

  it("again and again, at every point between asking and ending, starts nothing twice and owes no end", async () => {
    const points = [
      "runner.start.before_mark",
      "runner.start.after_mark",
      "runner.record.before",
      "runner.record.after",
      "runner.record.before:2",
      "runner.record.after:2",
      "runner.spawn.before",
      "runner.spawn.after",
      "runner.spool.before",
      "runner.spool.after",
      "runner.end.before",
      "runner.end.after",
      "runner.send.before:2",
      "runner.send.after:2",
      "runner.send.before:4",
      "runner.send.after:4",
    ];
    for (const point of points) {
      await using one = new TestRunner();
      await one.connect({ MX_AGENT_FAILPOINT: point });
      const mark = word();
      const done = closed(one.client);
      const spec = one.spec(["sh", "-c", `echo started >> starts; echo out; : ${mark}`]);
      await one.start(spec).catch(() => undefined);
      await done;
      await one.connect({});
      const before = (await one.client.list())[0];
      const state = await one.start(spec);
      const end = state.end ?? (await one.ended(spec.run_id));
      const starts = (await one.sh("cat starts 2>/dev/null")).stdout;
      expect(["started\n", ""], point).toContain(starts);
      if (point === "runner.start.before_mark")
        expect([before, end.outcome, starts]).toEqual([undefined, "exited", "started\n"]);
      else if (point === "runner.end.after" || point.endsWith(":4"))
        expect(end.outcome, point).toBe("exited");
      else expect(["interrupted", "exited"], point).toContain(end.outcome);
      if (end.outcome === "exited") expect(starts, point).toBe("started\n");
      expect(sha256(await one.bytes(spec.run_id, "stdout")), point).toBe(end.stdout_sha256);
      expect(processesWith(mark), point).toEqual([]);
      await one.stop();
    }
  }, 120_000);
});

describe("one directory", () => {
  it("has one runner, however many are started", async () => {
    await using one = new TestRunner();
    const clients = await Promise.all([one.connect(), one.connect(), one.connect(), one.connect()]);
    expect(new Set(clients.map((client) => client.pid)).size).toBe(1);
    const late = spawn(
      process.execPath,
      [entry, "--dir", one.dir, "--socket", join(one.home, "other.sock")],
      {
        stdio: "ignore",
      },
    );
    // It waits for its turn, which does not come while the other one lives.
    for (const client of clients.slice(1)) client.close();
    const spec = one.spec(["true"]);
    const [first] = clients;
    await first?.start(spec);
    expect(processInfo(clients[0]?.pid ?? 0)).not.toBeNull();
    late.kill("SIGKILL");
    await one.connect();
  });

  it("whose runner was shut down gets a new one", async () => {
    await using one = await runner();
    const first = one.client.pid;
    await one.sh("echo kept");
    await one.stop();
    await one.connect();
    expect(one.client.pid).not.toBe(first);
    expect((await one.client.list())[0]?.end?.outcome).toBe("exited");
  });

  it("a shutdown ends the runs that are under way, and says so", async () => {
    await using one = await runner();
    const mark = word();
    const spec = one.spec(["sh", "-c", twoProcesses(mark)]);
    await one.start(spec);
    await one.says(spec.run_id, "up");
    await one.stop();
    expect(processesWith(mark)).toEqual([]);
    expect(one.ends.get(spec.run_id)?.outcome).toBe("interrupted");
    await one.connect();
    expect((await one.client.list())[0]?.end?.outcome).toBe("interrupted");
  });

  it("is the user's alone, and so is the socket", async () => {
    await using one = await runner();
    await one.sh("true");
    const listing = await one.run([
      "stat",
      "-c",
      "%a",
      one.socket,
      one.dir,
      join(one.dir, "runs"),
      join(one.dir, "runs/run_1/end.json"),
    ]);
    expect(listing.stdout).toBe("600\n700\n700\n600\n");
  });
});

describe("a runner of another version", () => {
  it("that is one minor version apart is used; another major one is refused with what to restart", async () => {
    await using one = await runner();
    const answer = async (version: { major: number; minor: number }) => {
      const path = join(one.home, `v${version.major}.${version.minor}.sock`);
      const server = createServer((socket) => {
        const decoder = new FrameDecoder();
        socket.on("data", (bytes) => {
          for (const body of decoder.push(bytes)) {
            const { message } = decodeMessage(body);
            const id = Number(Object(message).id);
            socket.write(encodeMessage({ id, result: { version, pid: 1 } }));
          }
        });
      });
      await new Promise<void>((resolve) => server.listen(path, resolve));
      try {
        const client = await connectRunner(path);
        client.close();
        return "connected";
      } catch (error) {
        return Object(error).code;
      } finally {
        server.close();
      }
    };
    const { major, minor } = RUNNER_VERSION;
    expect(await answer({ major, minor: minor + 1 })).toBe("connected");
    expect(await answer({ major, minor: minor + 2 })).toBe("MX_VERSION_SKEW");
    expect(await answer({ major: major + 1, minor })).toBe("MX_VERSION_SKEW");
  });
});

describe("a runner whose directory was removed", () => {
  it("ends on SIGTERM, and its children with it", async () => {
    await using one = await runner();
    const mark = word();
    await one.start(one.spec(["sh", "-c", twoProcesses(mark)]));
    await eventually(() => processesWith(mark).length >= 2);
    const { pid } = one.client;
    rmSync(one.dir, { recursive: true });
    process.kill(pid, "SIGTERM");
    await eventually(() => processInfo(pid) === null);
    expect(processesWith(mark)).toEqual([]);
  });
});
