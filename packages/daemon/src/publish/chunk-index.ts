import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { failpoint, mxError } from "@mx-agent/base";

/** Where it ends and when it was cut, 6 bytes each. */
const FIELD = 6;
const RECORD = 2 * FIELD;

/**
 * Where each chunk of a stream ends in the spool, and when it was cut, which is when its bytes came unless the receiver
 * was behind. It makes a chunk's number mean the same bytes for ever, so that a receiver may ask for number N again
 * after this daemon was restarted.
 * Written before the chunk is sent. It is not synced: it must outlive the process, and what a power loss takes
 * ends the run as interrupted.
 */
export class ChunkIndex {
  readonly #file: string;
  #fd: number | null;
  #ends: number[] = [];
  #times: number[] = [];

  constructor(file: string) {
    this.#file = file;
    this.#fd = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600);
    const size = fstatSync(this.#fd).size;
    const bytes = Buffer.alloc(size - (size % RECORD));
    readSync(this.#fd, bytes, 0, bytes.length, 0);
    for (let at = 0; at < bytes.length; at += RECORD) {
      this.#ends.push(bytes.readUIntBE(at, FIELD));
      this.#times.push(bytes.readUIntBE(at + FIELD, FIELD));
    }
  }

  /** Chunks that were cut so far; their numbers are 0 to count - 1. */
  get count(): number {
    return this.#ends.length;
  }

  /** The offset up to which the stream has been cut into chunks. */
  get end(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** First byte and length of a chunk. */
  range(seq: number): { offset: number; length: number } | undefined {
    const end = this.#ends[seq];
    if (end === undefined) return undefined;
    const offset = seq === 0 ? 0 : (this.#ends[seq - 1] ?? 0);
    return { offset, length: end - offset };
  }

  /** When a chunk was cut, milliseconds since the epoch. */
  timeOf(seq: number): number | undefined {
    return this.#times[seq];
  }

  /** Cuts the next chunk, `length` bytes from `end`. MX_CANNOT_WRITE on a full disk: nothing was cut then. */
  cut(length: number, now: number): void {
    const end = this.end + length;
    const record = Buffer.alloc(RECORD);
    record.writeUIntBE(end, 0, FIELD);
    record.writeUIntBE(now, FIELD, FIELD);
    if (this.#fd === null) throw mxError("MX_INTERNAL", { detail: `${this.#file} was closed` });
    // At its own place: half a record, of a disk that was full, is written over.
    failpoint("chunk_index.before_write");
    const written = writeSync(this.#fd, record, 0, RECORD, this.count * RECORD);
    if (written < RECORD)
      throw mxError("MX_CANNOT_WRITE", { path: this.#file, detail: "the disk is full", hint: "make room" });
    failpoint("chunk_index.after_write");
    this.#ends.push(end);
    this.#times.push(now);
  }

  /** Nothing more is cut; what was can still be looked up. */
  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
