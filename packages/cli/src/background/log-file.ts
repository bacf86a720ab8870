import { open, stat } from "node:fs/promises";
import { Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { type Cli, write } from "../cli.ts";

const BLOCK = 64 * 1024;

/**
 * Writes the last lines of a file; answers how many bytes the file had, or undefined when there is
 * none. Reads backwards, so that the size of the file does not matter.
 */
export async function lastLines(file: string, count: number, to: Writable): Promise<number | undefined> {
  const size = await sizeOf(file);
  if (size === undefined) return undefined;
  const handle = await open(file);
  try {
    let start = size;
    let tail = Buffer.alloc(0);
    // One line end more than lines: the one before the first line that is wanted.
    while (start > 0 && count > 0 && newlines(tail) <= count) {
      const length = Math.min(BLOCK, start);
      start -= length;
      const block = Buffer.alloc(length);
      await handle.read(block, 0, length, start);
      tail = Buffer.concat([block, tail]);
    }
    const lines = tail.toString("utf8").split("\n");
    const wanted = lines.slice(Math.max(0, lines.length - count - 1)).join("\n");
    if (count > 0 && wanted !== "") await write(to, wanted);
    return size;
  } finally {
    await handle.close();
  }
}

/** Writes what is added to a file from `from` on, until a signal comes. Follows a rotation. */
export async function followFile(file: string, from: number, cli: Cli, to: Writable): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  const off = cli.onSignal(() => stopped.resolve());
  let position = from;
  try {
    for (;;) {
      const size = (await sizeOf(file)) ?? 0;
      if (size < position) position = 0;
      if (size > position) position += await copy(file, position, to);
      if (await pausedOr(stopped.promise)) return;
    }
  } finally {
    off();
  }
}

/** Each line of what is written as `{"line":…}`; one that does not end yet waits for its end. */
export function jsonLines(to: Writable): Writable {
  const decoder = new StringDecoder("utf8");
  let open = "";
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      const lines = (open + decoder.write(chunk)).split("\n");
      open = lines.pop() ?? "";
      const text = lines.map((line) => `${JSON.stringify({ line })}\n`).join("");
      to.write(text, done);
    },
  });
}

/** Everything of a file from `from` on, as text. */
export async function textFrom(file: string, from: number): Promise<string> {
  const chunks: Buffer[] = [];
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return "";
  for await (const chunk of handle.createReadStream({ start: from })) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

export async function sizeOf(file: string): Promise<number | undefined> {
  const stats = await stat(file).catch(() => undefined);
  return stats?.size;
}

async function copy(file: string, from: number, to: Writable): Promise<number> {
  const handle = await open(file);
  let copied = 0;
  for await (const chunk of handle.createReadStream({ start: from })) {
    await write(to, chunk);
    copied += chunk.length;
  }
  return copied;
}

/** Whether the end came before the next look. A log is a file that grows: there is nothing to wait for. */
async function pausedOr(end: Promise<void>): Promise<boolean> {
  const pause = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => pause.resolve(false), 200);
  const ended = await Promise.race([end.then(() => true), pause.promise]);
  clearTimeout(timer);
  return ended;
}

function newlines(buffer: Buffer): number {
  let count = 0;
  for (let at = buffer.indexOf(10); at !== -1; at = buffer.indexOf(10, at + 1)) count++;
  return count;
}
