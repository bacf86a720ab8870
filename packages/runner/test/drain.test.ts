import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { drain } from "../src/drain.ts";
import { OutputBudget, pump } from "../src/output.ts";
import { StreamSpool } from "../src/spool.ts";

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-drain-"));
  file = join(dir, "stdout");
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true });
});

/** A pipe of a run that has ended, and its spool on a disk that takes so long for each write. */
async function draining(write_ms: number, pipe: Readable) {
  const handle = await open(file, "a");
  const write = handle.write.bind(handle);
  let writing = 0;
  vi.spyOn(handle, "write").mockImplementation(async (...all: unknown[]) => {
    if (write_ms > 0) await new Promise((resolve) => setTimeout(resolve, write_ms));
    writing++;
    return Reflect.apply(write, handle, all).finally(() => writing--);
  });
  const spool = new StreamSpool(handle);
  const events = { more: () => {}, failed: () => {} };
  const streams = pump(pipe, spool, new OutputBudget(1e9, () => {}), events);
  const drained = drain(streams, [pipe], [spool]);
  let over = false;
  void drained.then(() => {
    over = true;
  });
  return {
    /** Whether something was cut, and how long it took. */
    end: async () => {
      let waited = 0;
      for (; !over && waited < 120_000; waited += 50) {
        await vi.advanceTimersByTimeAsync(50);
        // The disk is a real one: what it takes is not of the time that is counted here.
        do await new Promise((resolve) => setImmediate(resolve));
        while (writing > 0);
      }
      if (!over) throw new Error("it is still drained");
      await spool.close();
      return { cut: await drained, waited };
    },
  };
}

describe("what a command wrote before it ended", () => {
  test("is kept to the last byte on a disk that takes three seconds for each piece", async () => {
    const lines = Array.from({ length: 8 }, (_, n) => `line ${n}\n`);
    const left = [...lines, "last", null];
    const pipe = new Readable({
      highWaterMark: 1,
      read() {
        setImmediate(() => this.push(left.shift() ?? null));
      },
    });
    const { end } = await draining(3_000, pipe);
    expect(await end()).toMatchObject({ cut: false });
    expect(readFileSync(file, "utf8")).toBe(`${lines.join("")}last`);
  });

  test("is all there is where another process holds the pipe open and says nothing", async () => {
    const pipe = new PassThrough();
    const { end } = await draining(0, pipe);
    pipe.write("all");
    const { cut, waited } = await end();
    expect(cut).toBe(false);
    expect(waited).toBeLessThan(10_000);
    expect(readFileSync(file, "utf8")).toBe("all");
  });

  test("is said to be cut off where another process goes on writing, which keeps nobody waiting", async () => {
    const pipe = new PassThrough();
    const { end } = await draining(0, pipe);
    const writing = setInterval(() => pipe.write("more\n"), 150);
    const { cut, waited } = await end();
    clearInterval(writing);
    expect(cut).toBe(true);
    expect(waited).toBeLessThan(10_000);
  });
});
