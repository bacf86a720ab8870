import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecStdin } from "@mx-agent/protocol";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ChunkIndex } from "../../src/publish/chunk-index.ts";
import { StdinReceiver } from "../../src/publish/stdin-receiver.ts";
import { StdinSender } from "../../src/request/stdin-sender.ts";
import { bytesOf, type Fate, fates, lossyLine } from "../publish/support/lossy-line.ts";

const WINDOW = 1024 * 1024;
const CHUNK = 24 * 1024;

let dir: string;
let files = 0;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-stdin-"));
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true, force: true });
});

/** A caller's stdin and the child's, joined by a line with these fates. */
function joined(plan: readonly Fate[], take: (data: Uint8Array) => Promise<void> = async () => {}) {
  const line = lossyLine(plan);
  const got: Buffer[] = [];
  const seen = { eof: false, sentBytes: 0, gotBytes: 0 };
  const index = new ChunkIndex(join(dir, `index-${++files}`));
  const receiver = new StdinReceiver({
    index,
    write: async (offset, data, eof) => {
      expect(offset).toBe(seen.gotBytes);
      await take(data);
      got.push(Buffer.from(data));
      seen.gotBytes += data.length;
      seen.eof = eof;
    },
    ack: (next_seq, window) => line(() => sender.ack(next_seq, window)),
    resume: (from_seq) => line(() => sender.resume(from_seq)),
    failed: (error) => expect(error).toBeUndefined(),
  });
  const known = new Set<number>();
  const sender = new StdinSender({
    send: (content) => {
      if (!known.has(content.seq)) seen.sentBytes += Buffer.from(content.data, "base64").length;
      known.add(content.seq);
      const chunk = { invocation_id: "inv_1", ...content } as ExecStdin;
      line(() => receiver.push(chunk));
    },
    now: Date.now,
    elapsed: () => performance.now(),
  });
  return { sender, receiver, seen, bytes: () => Buffer.concat(got) };
}

test("stdin arrives as it was written, whatever is lost, doubled or late on the way", async () => {
  const writes = fc.array(fc.integer({ min: 0, max: 90_000 }), { maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(fates, writes, async (plan, lengths) => {
      const all = bytesOf(lengths.reduce((sum, length) => sum + length, 0));
      const { sender, seen, bytes } = joined(plan);
      const writing = (async () => {
        let at = 0;
        for (const length of lengths) {
          await sender.write(all.subarray(at, at + length));
          at += length;
        }
        sender.end();
      })();
      for (let waited = 0; !seen.eof && waited < 1_200_000; waited += 1_000)
        await vi.advanceTimersByTimeAsync(1_000);
      await writing;
      expect(seen.eof).toBe(true);
      expect(bytes().equals(all)).toBe(true);
      sender.close();
    }),
    { numRuns: 60 },
  );
});

test("a child that does not read bounds what is sent to it, and gets all of it in the end", async () => {
  const all = bytesOf(5 * WINDOW);
  const reads: (() => void)[] = [];
  const { sender, seen, bytes } = joined([], () => new Promise((resolve) => reads.push(resolve)));
  let written = false;
  const writing = sender.write(all).then(() => {
    written = true;
    sender.end();
  });
  for (let n = 0; n < 60; n++) {
    await vi.advanceTimersByTimeAsync(1_000);
    expect(seen.sentBytes - seen.gotBytes).toBeLessThanOrEqual(WINDOW + CHUNK);
    reads.shift()?.();
  }
  expect(written).toBe(false);
  while (!seen.eof) {
    for (const read of reads.splice(0)) read();
    await vi.advanceTimersByTimeAsync(10);
  }
  await writing;
  expect(bytes().equals(all)).toBe(true);
  sender.close();
});

test("a child that pauses is not sent the same input again for ever", async () => {
  const asked: number[] = [];
  const got: string[] = [];
  let read = () => {};
  const receiver = new StdinReceiver({
    index: new ChunkIndex(join(dir, `index-${++files}`)),
    write: async (_offset, data) => {
      if (got.length === 0)
        await new Promise<void>((resolve) => {
          read = resolve;
        });
      got.push(Buffer.from(data).toString());
    },
    ack: () => {},
    resume: (from_seq) => void asked.push(from_seq),
    failed: (error) => expect(error).toBeUndefined(),
  });
  const push = (seq: number, line: string) => {
    const data = Buffer.from(line).toString("base64");
    receiver.push({ invocation_id: "inv_1", seq, data, eof: false } as ExecStdin);
  };
  for (let waited = 0; waited < 12_000; waited += 3_000) {
    push(0, "one\n");
    await vi.advanceTimersByTimeAsync(3_000);
  }
  read();
  await vi.advanceTimersByTimeAsync(10_000);
  // The wrong way round, and in one turn.
  push(2, "three\n");
  push(1, "two\n");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(got).toEqual(["one\n", "two\n", "three\n"]);
  expect(asked).toEqual([]);
  receiver.close();
});

/** A child's end of the input that takes nothing as long as it is `full`. */
function child(file: string) {
  const end = { got: [] as string[], failures: 0, full: false };
  const receiver = new StdinReceiver({
    index: new ChunkIndex(file),
    write: async (_offset, data) => {
      if (end.full) throw new Error("no room");
      end.got.push(Buffer.from(data).toString());
    },
    ack: () => {},
    resume: () => {},
    failed: () => end.failures++,
  });
  const push = (line: string, seq?: number) => {
    const data = Buffer.from(line).toString("base64");
    receiver.push({
      invocation_id: "inv_1",
      data,
      eof: false,
      ...(seq === undefined ? {} : { seq }),
    } as ExecStdin);
  };
  return { end, receiver, push };
}

test("input that cannot be handed on for a while is handed on later, each byte once", async () => {
  const { end, receiver, push } = child(join(dir, `index-${++files}`));
  end.full = true;
  push("one ", 0);
  await vi.advanceTimersByTimeAsync(5_000);
  push("two ", 1);
  end.full = false;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(end.got).toEqual(["one ", "two "]);
  expect(end.failures).toBeGreaterThan(1);
  receiver.close();
});

test("input that is under way goes on where it is, when the runner is found again", async () => {
  const { end, receiver, push } = child(join(dir, `index-${++files}`));
  push("one ", 0);
  await vi.advanceTimersByTimeAsync(1);
  end.full = true;
  push("two ", 1);
  await vi.advanceTimersByTimeAsync(1);
  receiver.resumeAt(4);
  end.full = false;
  await vi.advanceTimersByTimeAsync(5_000);
  push("three ", 2);
  await vi.advanceTimersByTimeAsync(1);
  expect(end.got).toEqual(["one ", "two ", "three "]);
  receiver.close();
});

test("input of the timeline that got lost with a daemon is missed by the next one, and nothing else is", async () => {
  const file = join(dir, `index-${++files}`);
  const first = child(file);
  first.push("one ");
  await vi.advanceTimersByTimeAsync(1);
  first.end.full = true;
  first.push("two ");
  await vi.advanceTimersByTimeAsync(1);
  first.receiver.close();
  const lost = child(file);
  lost.receiver.resumeAt(4);
  expect(lost.receiver.lacks).toBe(true);
  lost.receiver.close();
  const whole = child(file);
  whole.receiver.resumeAt(8);
  expect(whole.receiver.lacks).toBe(false);
  whole.push("three ");
  await vi.advanceTimersByTimeAsync(1);
  expect(whole.end.got).toEqual(["three "]);
  whole.receiver.close();
});

test("a clock that is set back an hour, and stands still, delays nothing", async () => {
  const at = Date.now();
  const { sender, bytes } = joined(["is lost"], async () => {});
  vi.setSystemTime(at - 3_600_000);
  await sender.write(Buffer.from("hello\n"));
  vi.setSystemTime(at - 3_600_000);
  await vi.advanceTimersByTimeAsync(7_000);
  expect(bytes().toString()).toBe("hello\n");
  sender.close();
});

test("a writer is let go when the run has ended", async () => {
  const { sender } = joined([], () => new Promise(() => {}));
  const writing = sender.write(bytesOf(3 * WINDOW));
  await vi.advanceTimersByTimeAsync(100);
  sender.close();
  await writing;
});

test("a sender that overruns the window is not kept, and loses nothing", async () => {
  let release = () => {};
  const { receiver, seen } = joined([], () => new Promise((resolve) => (release = resolve)));
  const content = (seq: number): ExecStdin =>
    ({ invocation_id: "inv_1", seq, data: Buffer.alloc(CHUNK).toString("base64"), eof: false }) as ExecStdin;
  const many = Math.ceil((4 * WINDOW) / CHUNK);
  for (let seq = 0; seq < many; seq++) receiver.push(content(seq));
  for (let n = 0; n < 2 * many; n++) {
    await vi.advanceTimersByTimeAsync(1);
    release();
  }
  expect(seen.gotBytes).toBeLessThanOrEqual(2 * WINDOW + CHUNK);
  expect(seen.gotBytes).toBeGreaterThan(WINDOW);
});

test("a child's stdin goes on where it stood when its daemon is started again, whatever was acknowledged", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 400_000 }),
      fc.integer({ min: 0, max: 20 }),
      async (length, at) => {
        const all = bytesOf(length);
        const file = join(dir, `restarted-${++files}`);
        // The runner keeps the pipe, and skips what it has: it outlives the daemon.
        const pipe = { bytes: Buffer.alloc(0), ended: false };
        let receiver: StdinReceiver;
        let daemon = 1;
        const start = (number: number) =>
          new StdinReceiver({
            index: new ChunkIndex(file),
            write: async (offset, data, eof) => {
              expect(offset).toBeLessThanOrEqual(pipe.bytes.length);
              pipe.bytes = Buffer.concat([pipe.bytes, data.subarray(pipe.bytes.length - offset)]);
              pipe.ended ||= eof;
              // Its answer comes too late for a daemon that is killed.
              if (--left === 0) await new Promise(() => {});
            },
            ack: (next_seq, window) => number === daemon && sender.ack(next_seq, window),
            resume: (from_seq) => number === daemon && sender.resume(from_seq),
            failed: (error) => expect(error).toBeUndefined(),
          });
        let left = at;
        const sender = new StdinSender({
          send: (content) =>
            void setTimeout(() => receiver.push({ invocation_id: "inv_1", ...content } as ExecStdin), 5),
          now: Date.now,
          elapsed: () => performance.now(),
        });
        receiver = start(1);
        const writing = sender.write(all).then(() => sender.end());
        await vi.advanceTimersByTimeAsync(100);
        daemon = 2;
        receiver = start(2);
        if (!pipe.ended) receiver.resumeAt(pipe.bytes.length);
        await vi.advanceTimersByTimeAsync(30_000);
        await writing;
        expect(pipe.bytes.equals(all)).toBe(true);
        expect(pipe.ended).toBe(true);
        sender.close();
      },
    ),
    { numRuns: 40 },
  );
});

test("input without numbers arrives whole and in order at a child that is slow to read it", async () => {
  const reads: (() => void)[] = [];
  const { receiver, seen, bytes } = joined([], () => new Promise((resolve) => reads.push(resolve)));
  const parts = ["one ", "two ", "three ", "four"];
  for (const [n, part] of parts.entries()) {
    const data = Buffer.from(part).toString("base64");
    receiver.push({ invocation_id: "inv_1", data, eof: n === parts.length - 1 } as ExecStdin);
    await vi.advanceTimersByTimeAsync(1);
  }
  for (let n = 0; n < parts.length; n++) {
    reads.shift()?.();
    await vi.advanceTimersByTimeAsync(1);
  }
  expect(bytes().toString()).toBe("one two three four");
  expect(seen.eof).toBe(true);
});

test("an executing side that acknowledges more than was ever sent, or opens any window, holds up nobody", async () => {
  const sent: number[] = [];
  const sender = new StdinSender({
    send: ({ seq }) => void sent.push(seq),
    now: Date.now,
    elapsed: () => performance.now(),
  });
  sender.ack(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  let written = false;
  const writing = sender.write(bytesOf(64 * WINDOW)).then(() => {
    written = true;
  });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(sent.length * CHUNK).toBeLessThanOrEqual(16 * WINDOW);
  expect(written).toBe(false);
  sender.close();
  await writing;
});
