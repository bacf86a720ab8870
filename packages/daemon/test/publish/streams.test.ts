import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StreamChunk } from "@mx-agent/protocol";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ChunkIndex } from "../../src/publish/chunk-index.ts";
import { StreamPublisher } from "../../src/publish/stream-publisher.ts";
import { StreamReceiver } from "../../src/request/stream-receiver.ts";
import { bytesOf, fates, lossyLine } from "./support/lossy-line.ts";

const WINDOW = 1024 * 1024;
const CHUNK = 24 * 1024;
const MINUTE_MS = 60_000;

let dir: string;
let files = 0;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-streams-"));
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true, force: true });
});

interface Sending {
  spool: Buffer;
  send(chunk: StreamChunk): void;
  acknowledged?: boolean;
  file?: string;
}

function publisherOf({ spool, send, acknowledged = true, file = join(dir, `index-${++files}`) }: Sending) {
  return new StreamPublisher({
    invocation_id: "inv_1",
    stream: "stdout",
    index: new ChunkIndex(file),
    read: async (offset, length) => spool.subarray(offset, offset + length),
    send: async (content) => send(content as StreamChunk),
    acknowledged,
    now: Date.now,
    elapsed: () => performance.now(),
  });
}

describe("a stream over a line that loses, doubles and reorders", () => {
  test("arrives as it was written, whatever is lost of chunks, acknowledgements and requests", async () => {
    const writes = fc.array(fc.integer({ min: 1, max: 60_000 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fates, writes, async (plan, lengths) => {
        const spool = bytesOf(lengths.reduce((sum, length) => sum + length, 0));
        const line = lossyLine(plan);
        const got: Uint8Array[] = [];
        const receiver = new StreamReceiver({
          deliver: async (bytes) => void got.push(bytes),
          ack: (next_seq, window) => line(() => publisher.ack(next_seq, window)),
          resume: (from_seq) => line(() => publisher.resume(from_seq)),
        });
        const publisher = publisherOf({ spool, send: (chunk) => line(() => receiver.push(chunk)) });
        let written = 0;
        for (const length of lengths) {
          written += length;
          publisher.available(written);
          await vi.advanceTimersByTimeAsync(15);
        }
        publisher.end(written);
        for (
          let waited = 0;
          !(receiver.ended && publisher.done) && waited < 20 * MINUTE_MS;
          waited += 2_000
        ) {
          // What `finished` makes the caller do, and a sender that was given up begins again with.
          if (!receiver.ended) receiver.askAgain();
          await vi.advanceTimersByTimeAsync(2_000);
        }
        expect(Buffer.concat(got).equals(spool)).toBe(true);
        expect(receiver.ended).toBe(true);
        receiver.close();
        publisher.close();
      }),
      { numRuns: 60 },
    );
  });

  test("a last line that got lost arrives while the command goes on and says nothing more", async () => {
    const spool = Buffer.from("compiling\n");
    const line = lossyLine(["is lost"]);
    const got: Uint8Array[] = [];
    const receiver = new StreamReceiver({
      deliver: async (bytes) => void got.push(bytes),
      ack: (next_seq, window) => publisher.ack(next_seq, window),
      resume: (from_seq) => publisher.resume(from_seq),
    });
    const publisher = publisherOf({ spool, send: (chunk) => line(() => receiver.push(chunk)) });
    publisher.available(spool.length);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(Buffer.concat(got).toString()).toBe("compiling\n");
    receiver.close();
    publisher.close();
  });
});

test("a chunk's number means the same bytes for a daemon that was started again", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 10 }),
      async (lengths) => {
        const spool = bytesOf(lengths.reduce((sum, length) => sum + length, 0));
        const file = join(dir, `restarted-${++files}`);
        const chunks = new Map<number, string>();
        const keep = (chunk: StreamChunk) => {
          const known = chunks.get(chunk.seq);
          expect(known ?? chunk.data).toBe(chunk.data);
          chunks.set(chunk.seq, chunk.data);
        };
        const first = publisherOf({ spool, file, send: keep });
        let written = 0;
        for (const length of lengths) {
          written += length;
          first.available(written);
          await vi.advanceTimersByTimeAsync(30);
        }
        first.close();
        const second = publisherOf({ spool, file, send: keep });
        const count = second.end(written);
        await vi.advanceTimersByTimeAsync(100);
        second.resume(0);
        await vi.advanceTimersByTimeAsync(100);
        expect([...chunks.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n));
        second.close();
      },
    ),
    { numRuns: 30 },
  );
});

describe("a receiver that says nothing", () => {
  test("gets no more than its window, and after a minute nothing at all, until it asks again", async () => {
    const spool = bytesOf(4 * WINDOW);
    const sent: number[] = [];
    const publisher = publisherOf({ spool, send: ({ seq }) => void sent.push(seq) });
    publisher.available(spool.length);
    await vi.advanceTimersByTimeAsync(MINUTE_MS + 6_000);
    const distinct = new Set(sent);
    expect(distinct.size * CHUNK).toBeLessThanOrEqual(WINDOW + CHUNK);
    const before = sent.length;
    publisher.available(spool.length);
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(sent.length).toBe(before);
    publisher.resume(0);
    await vi.advanceTimersByTimeAsync(100);
    expect(sent.length).toBeGreaterThan(before);
    publisher.close();
  });

  test("does not delay what a command says after a long silence", async () => {
    const spool = Buffer.from("one\ntwo\n");
    const sent: string[] = [];
    const publisher = publisherOf({ spool, send: ({ data }) => void sent.push(data) });
    await vi.advanceTimersByTimeAsync(10 * MINUTE_MS);
    publisher.available(4);
    await vi.advanceTimersByTimeAsync(100);
    publisher.available(8);
    await vi.advanceTimersByTimeAsync(100);
    expect(sent).toEqual(["one\n", "two\n"]);
    publisher.close();
  });
});

test("a slow reader bounds what is held for him, and what is sent", async () => {
  const spool = bytesOf(6 * WINDOW);
  let sentBytes = 0;
  let delivered = 0;
  const readers: (() => void)[] = [];
  const receiver = new StreamReceiver({
    deliver: (bytes) =>
      new Promise((resolve) => {
        delivered += bytes.length;
        readers.push(resolve);
      }),
    ack: (next_seq, window) => setTimeout(() => publisher.ack(next_seq, window), 5),
    resume: (from_seq) => setTimeout(() => publisher.resume(from_seq), 5),
  });
  const seen = new Set<number>();
  const publisher = publisherOf({
    spool,
    send: (chunk) => {
      if (!seen.has(chunk.seq)) sentBytes += Math.min(CHUNK, spool.length);
      seen.add(chunk.seq);
      setTimeout(() => receiver.push(chunk), 5);
    },
  });
  publisher.available(spool.length);
  publisher.end(spool.length);
  for (let n = 0; n < 100; n++) {
    await vi.advanceTimersByTimeAsync(50);
    expect(sentBytes - delivered).toBeLessThanOrEqual(WINDOW + 2 * CHUNK);
    readers.shift()?.();
  }
  while (!receiver.ended) {
    for (const read of readers.splice(0)) read();
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(receiver.bytes).toBe(spool.length);
  receiver.close();
  publisher.close();
});

test("who asks a daemon that was started again from far into a stream gets the rest of it", async () => {
  const spool = bytesOf(4 * WINDOW);
  const file = join(dir, "resumed");
  const first = publisherOf({ spool, file, send: () => {} });
  const count = first.end(spool.length);
  first.close();
  const sent: number[] = [];
  const second = publisherOf({
    spool,
    file,
    send: ({ seq }) => {
      sent.push(seq);
      setTimeout(() => second.ack(seq + 1, WINDOW), 5);
    },
  });
  second.resume(100);
  second.end(spool.length);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(sent).toEqual(Array.from({ length: count - 100 }, (_, n) => n + 100));
  expect(second.done).toBe(true);
  second.close();
});

test("a reader that stalls is not sent the same again for ever, and has all of the window after it", async () => {
  const spool = bytesOf(100 * CHUNK);
  const chunks: StreamChunk[] = [];
  const source = publisherOf({
    spool,
    acknowledged: false,
    send: (chunk) => void chunks.push(chunk),
  });
  source.end(spool.length);
  await vi.advanceTimersByTimeAsync(1_000);
  source.close();
  const asked: number[] = [];
  let read = () => {};
  let stalls = true;
  let delivered = 0;
  const receiver = new StreamReceiver({
    deliver: async (bytes) => {
      if (stalls)
        await new Promise<void>((resolve) => {
          read = resolve;
        });
      delivered += bytes.length;
    },
    ack: () => {},
    resume: (from_seq) => void asked.push(from_seq),
  });
  const push = (seq: number) => {
    const chunk = chunks[seq];
    if (!chunk) throw new Error(`there is no chunk ${seq}`);
    receiver.push(chunk);
  };
  for (let waited = 0; waited < 12_000; waited += 3_000) {
    push(0);
    await vi.advanceTimersByTimeAsync(3_000);
  }
  stalls = false;
  read();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(delivered).toBe(CHUNK);
  expect(asked).toEqual([]);
  // As many as there is room for when nothing else is held.
  const held = Math.floor((2 * WINDOW) / CHUNK);
  for (let seq = 2; seq < 2 + held; seq++) push(seq);
  push(1);
  await vi.advanceTimersByTimeAsync(100);
  expect(delivered).toBe((2 + held) * CHUNK);
  receiver.close();
});

test("a slow line is not filled with second copies of what is on its way, however often it is asked for", async () => {
  const spool = bytesOf(100 * CHUNK);
  const line: (() => void)[] = [];
  let sent = 0;
  const got: Uint8Array[] = [];
  const receiver = new StreamReceiver({
    deliver: async (bytes) => void got.push(bytes),
    ack: (next_seq, window) => publisher.ack(next_seq, window),
    resume: (from_seq) => publisher.resume(from_seq),
  });
  const publisher = publisherOf({
    spool,
    send: (chunk) => {
      sent++;
      const taken = Promise.withResolvers<void>();
      line.push(() => {
        receiver.push(chunk);
        taken.resolve();
      });
      return taken.promise;
    },
  });
  publisher.end(spool.length);
  for (let waited = 0; !receiver.ended && waited < 5 * MINUTE_MS; waited += 500) {
    await vi.advanceTimersByTimeAsync(500);
    line.shift()?.();
    if (waited % 2_000 === 0) receiver.askAgain();
  }
  expect(Buffer.concat(got).equals(spool)).toBe(true);
  // The line carries each chunk once, and the marker.
  expect(sent).toBeLessThanOrEqual(105);
  receiver.close();
  publisher.close();
});

test("a receiver that opens any window is sent no more at once than others need room for", async () => {
  const spool = bytesOf(12 * WINDOW);
  const sent = new Set<number>();
  const publisher = publisherOf({ spool, send: ({ seq }) => void sent.add(seq) });
  publisher.ack(0, Number.MAX_SAFE_INTEGER);
  publisher.available(spool.length);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(sent.size * CHUNK).toBeGreaterThan(WINDOW);
  expect(sent.size * CHUNK).toBeLessThanOrEqual(8 * WINDOW);
  publisher.close();
});

test("a chunk that is not what its digest says is not handed on", async () => {
  const got: Uint8Array[] = [];
  const asked: number[] = [];
  const receiver = new StreamReceiver({
    deliver: async (bytes) => void got.push(bytes),
    ack: () => {},
    resume: (from_seq) => void asked.push(from_seq),
  });
  const chunks: StreamChunk[] = [];
  const publisher = publisherOf({ spool: Buffer.from("ab"), send: (chunk) => void chunks.push(chunk) });
  publisher.available(1);
  await vi.advanceTimersByTimeAsync(100);
  publisher.available(2);
  await vi.advanceTimersByTimeAsync(100);
  const [first, second] = chunks;
  if (!first || !second) throw new Error("two chunks were expected");
  receiver.push({ ...first, data: "x" });
  receiver.push(second);
  await vi.advanceTimersByTimeAsync(1_500);
  expect(got).toEqual([]);
  expect(asked).toContain(0);
  receiver.close();
  publisher.close();
});

test("where nobody acknowledges, what the homeserver took counts, and everything is sent once", async () => {
  const spool = bytesOf(3 * WINDOW);
  const sent: number[] = [];
  const publisher = publisherOf({ spool, acknowledged: false, send: ({ seq }) => void sent.push(seq) });
  publisher.available(spool.length);
  const count = publisher.end(spool.length);
  await vi.advanceTimersByTimeAsync(MINUTE_MS);
  expect(sent).toEqual(Array.from({ length: count }, (_, n) => n));
  expect(publisher.done).toBe(true);
  publisher.close();
});
