import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

const RECORD = 6;

/**
 * Where each chunk of a stream ends in the spool, as a file of 6-byte offsets. It makes a chunk's number mean
 * the same bytes for ever, so that a receiver may ask for number N again after this daemon was restarted.
 * Written before the chunk is sent. It is not synced: it must outlive the process, and what a power loss takes
 * ends the run as interrupted.
 */
export class ChunkIndex {
  readonly #fd: number;
  #ends: number[] = [];

  constructor(file: string) {
    this.#fd = openSync(file, "a+", 0o600);
    const size = fstatSync(this.#fd).size;
    const bytes = Buffer.alloc(size - (size % RECORD));
    readSync(this.#fd, bytes, 0, bytes.length, 0);
    for (let at = 0; at < bytes.length; at += RECORD) this.#ends.push(bytes.readUIntBE(at, RECORD));
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

  /** Cuts the next chunk, `length` bytes from `end`. */
  cut(length: number): void {
    const end = this.end + length;
    const record = Buffer.alloc(RECORD);
    record.writeUIntBE(end, 0, RECORD);
    writeSync(this.#fd, record);
    this.#ends.push(end);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
