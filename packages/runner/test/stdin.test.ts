import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../scripts/eventually.ts";
import { childrenOf, runner, sha256, type TestRunner } from "./support/harness.ts";

let one: TestRunner;
beforeAll(async () => {
  one = await runner();
});
afterAll(() => one[Symbol.asyncDispose]());

/** Bytes that differ from place to place, so that a shifted or repeated part shows. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, Math.min(i, length - 4));
  return bytes;
}

describe("stdin", () => {
  it("of 50 MB comes out of cat as it went in", async () => {
    const spec = one.spec(["cat"], { stdin: true });
    await one.start(spec);
    const data = pattern(50 * 1024 * 1024);
    const part = 256 * 1024;
    for (let offset = 0; offset < data.length; offset += part) {
      const eof = offset + part >= data.length;
      const { stdin_bytes } = await one.client.stdin(
        spec.run_id,
        offset,
        data.subarray(offset, offset + part),
        eof,
      );
      expect(stdin_bytes).toBe(Math.min(offset + part, data.length));
    }
    const end = await one.ended(spec.run_id);
    expect(end).toMatchObject({ outcome: "exited", exit_code: 0, stdout_bytes: data.length });
    expect(end.stdout_sha256).toBe(sha256(data));
    const read = createHash("sha256");
    for (let offset = 0; offset < data.length; ) {
      const bytes = await one.client.read(spec.run_id, "stdout", offset, 1024 * 1024);
      read.update(bytes);
      offset += bytes.length;
    }
    expect(read.digest("hex")).toBe(end.stdout_sha256);
  });

  it("waits for a child that does not read, and takes no more than its pipe holds", async () => {
    const spec = one.spec(["sh", "-c", "read -r go < go.fifo; wc -c"], { stdin: true });
    await one.sh("mkfifo go.fifo");
    await one.start(spec);
    const data = pattern(4 * 1024 * 1024);
    let taken = false;
    const writing = one.client.stdin(spec.run_id, 0, data, true).then(() => {
      taken = true;
    });
    // Another run is served in between, and then the write is still waiting.
    await one.sh("true");
    expect(taken).toBe(false);
    await one.sh("echo go > go.fifo");
    await writing;
    await one.ended(spec.run_id);
    expect(await one.text(spec.run_id, "stdout")).toBe(`${data.length}\n`);
  });

  it("that is sent again is skipped, and with a gap it is refused", async () => {
    const spec = one.spec(["cat"], { stdin: true });
    await one.start(spec);
    await one.client.stdin(spec.run_id, 0, Buffer.from("hello "), false);
    await expect(one.client.stdin(spec.run_id, 7, Buffer.from("x"), false)).rejects.toMatchObject({
      code: "MX_PROTOCOL",
    });
    await one.client.stdin(spec.run_id, 0, Buffer.from("hello wor"), false);
    await one.client.stdin(spec.run_id, 3, Buffer.from("lo"), false);
    expect(await one.client.stdin(spec.run_id, 9, Buffer.from("ld"), true)).toEqual({ stdin_bytes: 11 });
    await one.ended(spec.run_id);
    expect(await one.text(spec.run_id, "stdout")).toBe("hello world");
  });

  it("that nobody writes to blocks nothing: the command runs and ends", async () => {
    const end = await one.sh("echo done", { stdin: true });
    expect(end).toMatchObject({ outcome: "exited", exit_code: 0, stdout: "done\n" });
  });

  it("that nobody asked for is empty", async () => {
    expect((await one.run(["cat"])).stdout).toBe("");
  });

  it("that the child closed is swallowed, and the run goes on", async () => {
    const spec = one.spec(["sh", "-c", "exec <&-; echo closed; sleep 600"], { stdin: true });
    await one.start(spec);
    await one.says(spec.run_id, "closed");
    const big = pattern(1024 * 1024);
    expect(await one.client.stdin(spec.run_id, 0, big, false)).toEqual({ stdin_bytes: big.length });
    expect(await one.client.stdin(spec.run_id, big.length, big, true)).toEqual({
      stdin_bytes: 2 * big.length,
    });
    await one.client.cancel(spec.run_id);
    expect((await one.ended(spec.run_id)).outcome).toBe("cancelled");
  });

  it("that is on its way when the run ends is let go of", async () => {
    const spec = one.spec(["sleep", "600"], { stdin: true });
    await one.start(spec);
    const writing = one.client.stdin(spec.run_id, 0, pattern(4 * 1024 * 1024), false);
    await one.client.cancel(spec.run_id);
    await writing;
    expect((await one.ended(spec.run_id)).outcome).toBe("cancelled");
  });
});

describe("output that nobody reads from the spool", () => {
  it("does not hold the child back, and holds no memory", async () => {
    const end = await one.sh("head -c 200000000 /dev/zero");
    expect(end.stdout_bytes).toBe(200_000_000);
    await eventually(() => childrenOf(one.client.pid).length === 0);
  });
});
