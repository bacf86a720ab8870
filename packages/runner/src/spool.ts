/**
 * One directory for each run, named by its id: `stdout` and `stderr` as they came, `run.json` (which
 * process it is), `end.json` (how it ended). The directory itself is the mark that the run was started:
 * it is made durable before anything is spawned, and only once.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, mxError } from "@mx-agent/base";
import type { RunEnd, RunState, RunStream } from "./api.ts";
import { syncDirectory, withFile } from "./durable.ts";

/** Ids are made by the daemon; anything that could leave the directory is none. */
const RUN_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;

/** Kept for the record and for the end, so that a full disk can't take the outcome too. */
const RESERVE_BYTES = 4096;

/** What ends up in the end record of somebody else's words, in characters. */
const MAX_MESSAGE = 1000;

/** Which process a run is, so that a later runner can find it and nothing else. */
export interface RunRecord {
  run_id: string;
  started_at: string;
  /** null before the spawn, and where it failed. */
  pid: number | null;
  /** Of that pid, in clock ticks since boot. */
  start_time: number | null;
  boot_id: string;
  /** The resource limit that marks all descendants; null where marking is not possible. */
  brand: number | null;
}

/** What `end.json` holds. */
export type EndedState = RunState & { end: RunEnd };

export function checkRunId(run_id: string): string {
  if (!RUN_ID.test(run_id))
    throw mxError("MX_BAD_INPUT", {
      detail: `${JSON.stringify(run_id)} is not a run id`,
      hint: "1 to 128 letters, digits, _ and -",
    });
  return run_id;
}

export class Spool {
  readonly root: string;

  /** `root` exists and is ours alone. */
  constructor(root: string) {
    this.root = root;
  }

  directory(run_id: string): string {
    return join(this.root, checkRunId(run_id));
  }

  /** Every run that was ever started and not forgotten. */
  async ids(): Promise<string[]> {
    return (await readdir(this.root)).filter((name) => RUN_ID.test(name));
  }

  /** Marks a run as started, durably. False when it was before: it must not be started again. */
  async claim(run_id: string): Promise<boolean> {
    const directory = this.directory(run_id);
    failpoint("runner.start.before_mark");
    try {
      await mkdir(directory, { mode: 0o700 });
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
      throw cannotWrite(directory, error);
    }
    try {
      for (const name of ["run.json", "end.json.new"])
        await withFile(join(directory, name), "wx", async (file) => {
          await file.writeFile(Buffer.alloc(RESERVE_BYTES, " "));
          await file.sync();
        });
      for (const stream of ["stdout", "stderr"])
        await withFile(join(directory, stream), "wx", () => Promise.resolve());
      await syncDirectory(directory);
      await syncDirectory(this.root);
    } catch (error) {
      // Nothing was spawned and nobody was told: without its mark the run may be asked for again.
      await rm(directory, { recursive: true, force: true });
      throw cannotWrite(directory, error);
    }
    failpoint("runner.start.after_mark");
    return true;
  }

  /**
   * Overwrites the record in its own space, before this returns. It survives this process, not a power
   * failure, which ends all runs anyway.
   */
  writeRecord(record: RunRecord): void {
    failpoint("runner.record.before");
    const file = openSync(join(this.directory(record.run_id), "run.json"), "r+");
    try {
      writeSync(file, padded(record), 0, RESERVE_BYTES, 0);
    } finally {
      closeSync(file);
    }
    failpoint("runner.record.after");
  }

  async readRecord(run_id: string): Promise<RunRecord | null> {
    const value = await readJson(join(this.directory(run_id), "run.json"));
    return isRecord(value) ? value : null;
  }

  /** Writes how a run ended, durably, into the space that was kept for it. */
  async writeEnd(state: EndedState): Promise<void> {
    const directory = this.directory(state.run_id);
    const reserved = join(directory, "end.json.new");
    failpoint("runner.end.before");
    const file = await openReserved(reserved);
    try {
      const text = padded(withShortMessage(state));
      await file.write(text, 0, text.length, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    failpoint("runner.end_name.before");
    await rename(reserved, join(directory, "end.json"));
    failpoint("runner.end_name.after");
    await syncDirectory(directory);
    failpoint("runner.end.after");
  }

  async readEnd(run_id: string): Promise<EndedState | null> {
    const value = await readJson(join(this.directory(run_id), "end.json"));
    return isEndedState(value) ? value : null;
  }

  /** Both streams of a run that was just marked; where they can't be had, the mark is taken back. */
  async openStreams(run_id: string): Promise<Record<RunStream, StreamSpool>> {
    const directory = this.directory(run_id);
    const opened: StreamSpool[] = [];
    const openOne = async (stream: RunStream) => {
      const spool = new StreamSpool(await open(join(directory, stream), "a"));
      opened.push(spool);
      return spool;
    };
    try {
      return { stdout: await openOne("stdout"), stderr: await openOne("stderr") };
    } catch (error) {
      for (const spool of opened) await spool.close();
      await rm(directory, { recursive: true, force: true });
      throw cannotWrite(directory, error);
    }
  }

  /** Up to `max_bytes` from `offset`; empty at the end of what is there. */
  async read(run_id: string, stream: RunStream, offset: number, max_bytes: number): Promise<Buffer> {
    const path = join(this.directory(run_id), stream);
    try {
      return await withFile(path, "r", async (file) => {
        const there = (await file.stat()).size - offset;
        if (there <= 0) return Buffer.alloc(0);
        const buffer = Buffer.allocUnsafe(Math.min(max_bytes, there));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
        return buffer.subarray(0, bytesRead);
      });
    } catch (error) {
      if (isMissing(error)) return Buffer.alloc(0);
      throw error;
    }
  }

  /** Length and digest of what is in the spool of a run that nobody holds open any more. */
  async measure(run_id: string, stream: RunStream): Promise<{ bytes: number; sha256: string }> {
    const hash = createHash("sha256");
    let bytes = 0;
    for (;;) {
      const part = await this.read(run_id, stream, bytes, 1024 * 1024);
      if (part.length === 0) return { bytes, sha256: hash.digest("hex") };
      hash.update(part);
      bytes += part.length;
    }
  }

  async startedAt(run_id: string): Promise<string> {
    return (await stat(this.directory(run_id))).birthtime.toISOString();
  }

  async forget(run_id: string): Promise<void> {
    failpoint("runner.forget.before");
    await rm(this.directory(run_id), { recursive: true, force: true });
    failpoint("runner.forget.after");
  }
}

/** One stream of one run, growing. */
export class StreamSpool {
  bytes = 0;
  /** Whether the disk has not yet taken what it was given. */
  writing = false;
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Appends all of `chunk`, or as much as fits: what was written counts, even when it then throws. */
  async append(chunk: Buffer): Promise<void> {
    let done = 0;
    this.writing = true;
    try {
      while (done < chunk.length) {
        failpoint("runner.output.before");
        const { bytesWritten } = await this.#file.write(chunk, done, chunk.length - done);
        failpoint("runner.output.after");
        this.#hash.update(chunk.subarray(done, done + bytesWritten));
        done += bytesWritten;
        this.bytes += bytesWritten;
      }
    } finally {
      this.writing = false;
    }
  }

  /** Makes the bytes durable and closes; the digest is over all of them. `lost`: why they may not last, else null. */
  async close(): Promise<{ bytes: number; sha256: string; lost: string | null }> {
    let lost: string | null = null;
    try {
      if (this.bytes > 0) await this.#file.datasync();
    } catch (error) {
      lost = error instanceof Error ? error.message : String(error);
    }
    await this.#file.close().catch((error: unknown) => {
      lost ??= String(error);
    });
    return { bytes: this.bytes, sha256: this.#hash.digest("hex"), lost };
  }
}

/** JSON for a file of reserved blocks; padded, so that nothing of what was there is left. */
function padded(value: RunRecord | EndedState): Buffer {
  return Buffer.from(JSON.stringify(value).padEnd(RESERVE_BYTES));
}

function withShortMessage(state: EndedState): EndedState {
  const { error } = state.end;
  if (error === null) return state;
  const message = error.message.slice(0, MAX_MESSAGE);
  return { ...state, end: { ...state.end, error: { ...error, message } } };
}

async function openReserved(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r+");
  } catch (error) {
    // A run whose maker was killed between the directory and the reserve.
    if (isMissing(error)) return open(path, "wx", 0o600);
    throw error;
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    // A record that was cut off by a crash was never finished; there is none.
    if (isMissing(error) || error instanceof SyntaxError) return null;
    throw error;
  }
}

function isRecord(value: unknown): value is RunRecord {
  return typeof value === "object" && value !== null && "boot_id" in value && "started_at" in value;
}

function isEndedState(value: unknown): value is EndedState {
  return typeof value === "object" && value !== null && "end" in value && "run_id" in value;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function cannotWrite(path: string, error: unknown): Error {
  const detail = error instanceof Error ? error.message : String(error);
  return mxError("MX_CANNOT_WRITE", { path, detail, hint: "nothing was started" }, { cause: error });
}
