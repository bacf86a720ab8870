/** The log's files: `audit-<number of its first line>.jsonl`, so that their names sort as their lines do. */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";

const shape = /^audit-(\d{12})\.jsonl$/;
const CHUNK = 65_536;

export function fileName(firstSeq: number): string {
  return `audit-${String(firstSeq).padStart(12, "0")}.jsonl`;
}

/** Absolute, oldest first. */
export function logFiles(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => shape.test(name))
    .toSorted()
    .map((name) => join(dir, name));
}

/** The number that the name of a file says its first line has; null for a file of another name. */
export function firstSeqOf(file: string): number | null {
  const match = shape.exec(file.slice(file.lastIndexOf("/") + 1));
  return match ? Number(match[1]) : null;
}

export interface RawLine {
  text: Buffer;
  /** From 1. */
  number: number;
  /** false for what stands after the last line break. */
  ended: boolean;
}

/** The lines of a file up to `end` bytes, in memory one at a time. */
export function* readLines(file: string, end: number = Number.POSITIVE_INFINITY): Generator<RawLine> {
  const fd = openSync(file, "r");
  try {
    let rest = Buffer.alloc(0);
    let number = 0;
    for (let at = 0; at < end; ) {
      const chunk = Buffer.alloc(Math.min(CHUNK, end - at));
      const count = readSync(fd, chunk, 0, chunk.length, at);
      if (count === 0) break;
      at += count;
      rest = Buffer.concat([rest, chunk.subarray(0, count)]);
      let start = 0;
      for (let stop = rest.indexOf(10, start); stop >= 0; stop = rest.indexOf(10, start)) {
        yield { text: rest.subarray(start, stop), number: ++number, ended: true };
        start = stop + 1;
      }
      rest = rest.subarray(start);
    }
    if (rest.length > 0) yield { text: rest, number: number + 1, ended: false };
  } finally {
    closeSync(fd);
  }
}

/** The lines of a file from its end backwards; an unended last one comes too. */
export function* readLinesBackwards(file: string): Generator<Buffer> {
  const fd = openSync(file, "r");
  try {
    let at = fstatSync(fd).size;
    let rest = Buffer.alloc(0);
    let first = true;
    while (at > 0) {
      const chunk = Buffer.alloc(Math.min(CHUNK, at));
      at -= chunk.length;
      readSync(fd, chunk, 0, chunk.length, at);
      rest = Buffer.concat([chunk, rest]);
      for (let stop = rest.lastIndexOf(10); stop >= 0; stop = rest.lastIndexOf(10)) {
        const line = rest.subarray(stop + 1);
        // What follows the file's last line break is a line only if there is anything.
        if (line.length > 0 || !first) yield line;
        first = false;
        rest = rest.subarray(0, stop);
      }
    }
    if (rest.length > 0) yield rest;
  } finally {
    closeSync(fd);
  }
}
