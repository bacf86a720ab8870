/** Where a log ends when it is opened, and the honest repair of what a crash left there. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { AppendFile } from "./append-file.ts";
import { fileName, firstSeqOf, logFiles, readLinesBackwards } from "./files.ts";
import { type AuditEntry, hashLine, NOTHING, type Position, parseLine } from "./line.ts";

export interface Recovered {
  file: AppendFile;
  position: Position;
  /** What has to be put on record about it. */
  records: AuditEntry[];
}

/**
 * Opens the last file of the log, or the first one of a new log. A line that a crash cut short was
 * never answered for: it is taken out, and that is put on record with what it was.
 */
export function recover(dir: string): Recovered {
  const path = logFiles(dir).at(-1);
  if (path === undefined) {
    return {
      file: AppendFile.create(join(dir, fileName(1))),
      position: { seq: 0, hash: NOTHING },
      records: [],
    };
  }
  const file = AppendFile.open(path);
  const unfinished = unfinishedEnd(path);
  if (unfinished.length === 0) return { file, position: endOfLog(dir), records: [] };
  file.truncate(file.size - unfinished.length);
  const position = endOfLog(dir);
  const record: AuditEntry = { kind: "daemon", action: "audit_repaired", file: basename(path) };
  const line = parseLine(unfinished.toString("utf8"));
  if (line?.seq === position.seq + 1 && line.prev === position.hash) {
    // Whole but for its line break: it stays.
    file.append(Buffer.concat([unfinished, Buffer.from("\n")]));
    return {
      file,
      position: { seq: line.seq, hash: hashLine(unfinished) },
      records: [{ ...record, finished: line.seq }],
    };
  }
  const removed = {
    removed_bytes: unfinished.length,
    removed_sha256: hashLine(unfinished),
    // The beginning is enough to recognise the entry.
    removed: unfinished.subarray(0, 512).toString("base64"),
  };
  return { file, position, records: [{ ...record, ...removed }] };
}

/** What stands behind the last line break: bytes of a line, or the zeros of a block that was never written. */
function unfinishedEnd(path: string): Buffer {
  const content = readFileSync(path);
  return content.subarray(content.lastIndexOf(10) + 1);
}

/**
 * The end of the last complete line. A line that cannot be read keeps its place: the next one follows
 * its bytes, and `audit verify` names it.
 */
function endOfLog(dir: string): Position {
  return endOf(logFiles(dir));
}

/** Whether that line is in the log, or of before it begins. */
export function hasLine(dir: string, { seq, hash }: Position): boolean {
  let first: number | null = null;
  for (const path of logFiles(dir).toReversed()) {
    for (const bytes of readLinesBackwards(path)) {
      const line = parseLine(bytes.toString("utf8"));
      if (line?.seq === seq) return hashLine(bytes) === hash;
      if (line && line.seq < seq) return false;
      first = line?.seq ?? first;
    }
  }
  return first !== null && first > seq;
}

export function endOf(files: readonly string[]): Position {
  let hash: string | null = null;
  let unreadable = 0;
  for (const path of files.toReversed()) {
    for (const bytes of readLinesBackwards(path)) {
      hash ??= hashLine(bytes);
      const line = parseLine(bytes.toString("utf8"));
      if (line) return { seq: line.seq + unreadable, hash };
      unreadable++;
    }
    // A file without lines continues the one before it.
    if (hash === null && firstSeqOf(path) === 1) return { seq: 0, hash: NOTHING };
  }
  return { seq: unreadable, hash: hash ?? NOTHING };
}
