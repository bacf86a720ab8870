import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunStream } from "../src/index.ts";
import { identity, program, runner, sha256, type TestRunner } from "./support/harness.ts";

let one: TestRunner;
beforeAll(async () => {
  one = await runner();
});
afterAll(() => one[Symbol.asyncDispose]());

describe("a run", () => {
  it("gives its exit code, both streams and their digests", async () => {
    const end = await one.sh("echo out; echo err >&2; exit 7");
    expect(end).toMatchObject({
      outcome: "exited",
      exit_code: 7,
      signal: null,
      error: null,
      truncated: false,
    });
    expect([end.stdout, end.stderr]).toEqual(["out\n", "err\n"]);
    expect([end.stdout_sha256, end.stderr_sha256]).toEqual([sha256("out\n"), sha256("err\n")]);
    expect([end.stdout_bytes, end.stderr_bytes]).toEqual([4, 4]);
  });

  it("that a signal ended says which", async () => {
    expect(await one.sh("kill -USR1 $$")).toMatchObject({
      outcome: "signaled",
      signal: "SIGUSR1",
      exit_code: null,
    });
  });

  it("gets exactly the environment that was given, and an argv[0] of its own", async () => {
    const environment = await one.run(["env"], { env: { A: "1", B: "two words" } });
    expect(environment.stdout).toBe("A=1\nB=two words\n");
    const name = await one.run(["renamed", "-c", "echo $0; tr '\\0' ' ' < /proc/$$/cmdline"], {
      executable: identity(program("sh")),
    });
    expect(name.stdout).toContain("renamed -c");
  });

  it("runs where it was told, and inherits no descriptor", async () => {
    const end = await one.sh("pwd -P; ls /proc/self/fd");
    expect(end.stdout).toBe(`${one.project}\n0\n1\n2\n3\n`);
  });

  it("can open its streams again, as a program does that writes to /dev/stdout", async () => {
    const end = await one.sh("echo again > /dev/stdout; echo error > /dev/stderr");
    expect([end.stdout, end.stderr]).toEqual(["again\n", "error\n"]);
  });

  it("is the leader of a session of its own", async () => {
    const spec = one.spec(["sh", "-c", "cut -d' ' -f5,6 /proc/$$/stat"]);
    const { pid } = await one.start(spec);
    await one.ended(spec.run_id);
    expect(await one.text(spec.run_id, "stdout")).toBe(`${pid} ${pid}\n`);
  });

  it("is told to have ended only after its last output was", async () => {
    const seen: { event: string; bytes: number }[] = [];
    const spec = one.spec(["sh", "-c", "head -c 300000 /dev/zero; printf last"]);
    one.client.on("output", (run_id: string, _stream: RunStream, bytes: number) => {
      if (run_id === spec.run_id) seen.push({ event: "output", bytes });
    });
    one.client.on("ended", (run_id, end) => {
      if (run_id === spec.run_id) seen.push({ event: "ended", bytes: end.stdout_bytes });
    });
    await one.start(spec);
    await one.ended(spec.run_id);
    expect(seen.slice(-2)).toEqual([
      { event: "output", bytes: 300_004 },
      { event: "ended", bytes: 300_004 },
    ]);
    expect((await one.bytes(spec.run_id, "stdout")).subarray(-4).toString()).toBe("last");
  });

  it("loses no byte that was written right before the exit", async () => {
    for (let round = 0; round < 20; round++) {
      const end = await one.sh("head -c 200000 /dev/zero | tr '\\0' x; printf END");
      expect(end.stdout.length).toBe(200_003);
      expect(end.stdout.endsWith("END")).toBe(true);
    }
  });
});

describe("a limit holds by the runner alone", () => {
  it("the deadline", async () => {
    const limits = { ...one.spec(["true"]).limits, max_runtime_ms: 200 };
    const end = await one.sh("echo begun; exec sleep 600", { limits });
    expect(end).toMatchObject({ outcome: "timed_out", signal: "SIGTERM", stdout: "begun\n" });
  });

  it("the length of the output: what fits is kept, to the byte", async () => {
    const limits = { ...one.spec(["true"]).limits, max_output_bytes: 100_001 };
    const end = await one.sh("yes abcdefg | head -c 10000000", { limits });
    expect(end).toMatchObject({ outcome: "output_limit", truncated: true, stdout_bytes: 100_001 });
    expect(end.stdout_sha256).toBe(sha256("abcdefg\n".repeat(20_000).slice(0, 100_001)));
    expect(sha256(end.stdout)).toBe(end.stdout_sha256);
  });

  it("output of exactly the limit is not over it", async () => {
    const limits = { ...one.spec(["true"]).limits, max_output_bytes: 1000 };
    const end = await one.sh("head -c 600 /dev/zero; head -c 400 /dev/zero >&2", { limits });
    expect(end).toMatchObject({ outcome: "exited", truncated: false, stdout_bytes: 600, stderr_bytes: 400 });
  });
});

describe("cancelling", () => {
  it("gives a command the time to clean up", async () => {
    const spec = one.spec([
      "sh",
      "-c",
      "trap 'echo cleaned; exit 4' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    await one.start(spec);
    await one.says(spec.run_id, "ready");
    await one.client.cancel(spec.run_id);
    expect(await one.ended(spec.run_id)).toMatchObject({ outcome: "cancelled", exit_code: 4 });
    expect(await one.text(spec.run_id, "stdout")).toContain("cleaned");
  });

  it("kills a command that takes no notice, after the grace", async () => {
    const spec = one.spec(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]);
    await one.start(spec);
    await one.says(spec.run_id, "ready");
    await one.client.cancel(spec.run_id, 100);
    expect(await one.ended(spec.run_id)).toMatchObject({ outcome: "cancelled", signal: "SIGKILL" });
  });

  it("of a run that has ended changes nothing", async () => {
    const end = await one.sh("exit 0");
    await one.client.cancel(end.run_id);
    expect((await one.client.list()).find((run) => run.run_id === end.run_id)?.end?.outcome).toBe("exited");
  });
});

describe("a run id", () => {
  it("is started at most once, however often it is asked for", async () => {
    const spec = one.spec(["sh", "-c", "echo x >> count; sleep 0.1"]);
    const states = await Promise.all([one.start(spec), one.start(spec), one.start(spec)]);
    await one.ended(spec.run_id);
    const after = await one.start(spec);
    expect(new Set(states.map((state) => state.pid)).size).toBe(1);
    expect(after.end?.outcome).toBe("exited");
    expect((await one.sh("cat count")).stdout).toBe("x\n");
  });

  it("that could leave the spool is refused", async () => {
    for (const run_id of ["../x", "", ".", "a/b", "a\0b", "x".repeat(129)])
      await expect(one.start({ ...one.spec(["true"]), run_id })).rejects.toMatchObject({ name: "MxError" });
  });

  it("is gone once it is forgotten, and not before it has ended", async () => {
    const spec = one.spec(["sleep", "600"]);
    await one.start(spec);
    await expect(one.client.forget(spec.run_id)).rejects.toMatchObject({ code: "MX_BAD_INPUT" });
    await one.client.cancel(spec.run_id);
    await one.ended(spec.run_id);
    await one.client.forget(spec.run_id);
    expect((await one.client.list()).map((run) => run.run_id)).not.toContain(spec.run_id);
    await expect(one.client.read(spec.run_id, "stdout", 0, 1)).rejects.toMatchObject({
      code: "MX_NOT_FOUND",
    });
  });
});

describe("a spool", () => {
  it("is read from any offset, while the run goes on and after", async () => {
    const spec = one.spec(["sh", "-c", "printf 0123456789; read -r line"], { stdin: true });
    await one.start(spec);
    await one.says(spec.run_id, "0123456789");
    expect(Buffer.from(await one.client.read(spec.run_id, "stdout", 4, 3)).toString()).toBe("456");
    expect(await one.client.read(spec.run_id, "stdout", 10, 10)).toHaveLength(0);
    expect(await one.client.read(spec.run_id, "stderr", 0, 10)).toHaveLength(0);
    await one.client.stdin(spec.run_id, 0, Buffer.from("\n"), true);
    await one.ended(spec.run_id);
    expect(Buffer.from(await one.client.read(spec.run_id, "stdout", 4, 3)).toString()).toBe("456");
  });
});
