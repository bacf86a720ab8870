import { newNonce, STREAM_MAX_WINDOW_BYTES } from "@mx-agent/protocol";
import type { ChunkIndex } from "../publish/chunk-index.ts";

/** Bytes of stdin in one message: as base64, with its envelope, it stays under 40 KiB. */
const CHUNK_BYTES = 24 * 1024;
const INITIAL_WINDOW = 1024 * 1024;
/** What was not acknowledged for so long is sent again. */
const SEND_AGAIN_MS = 3_000;

export interface StdinLine {
  send(content: { data: string; eof: boolean; created_at: string; nonce: string; seq: number }): void;
  /** For timestamps, milliseconds since the epoch. */
  now(): number;
  /** For how long something took, milliseconds: it neither jumps nor stands still when the clock is set. */
  elapsed(): number;
}

/** Sends the caller's stdin in numbered chunks within the child's window, and again what got lost. */
export class StdinSender {
  readonly #line: StdinLine;
  readonly #unacked = new Map<number, { data: Uint8Array; eof: boolean }>();
  readonly #timer: NodeJS.Timeout;
  /** Where chunks ended, kept over a restart: a number means the same bytes for ever. */
  #index: ChunkIndex | undefined;
  /** Bytes that do not fill the chunk yet which they belonged to before the restart. */
  #partial = Buffer.alloc(0);
  #next = 0;
  #acked = 0;
  #heard = false;
  #window = INITIAL_WINDOW;
  #inFlight = 0;
  #closed = false;
  #movedAt: number;
  #waiters: (() => void)[] = [];

  constructor(line: StdinLine) {
    this.#line = line;
    this.#movedAt = line.elapsed();
    this.#timer = setInterval(() => this.#sendAgainIfStuck(), SEND_AGAIN_MS);
    this.#timer.unref();
  }

  /** From now on chunk boundaries are kept there, before a chunk is sent. Closed with this. */
  keepIn(index: ChunkIndex): void {
    if (this.#closed) index.close();
    else this.#index = index;
  }

  /**
   * Goes on for a sender before, whose boundaries are in the index: waits until the other side says how far it has come,
   * and answers from which byte on the input is wanted. Null: it wants none, or boundaries are missing.
   */
  async goOn(index: ChunkIndex): Promise<number | null> {
    this.keepIn(index);
    while (!this.#heard && !this.#closed) await this.#moved();
    if (this.#closed || this.#acked > index.count) return null;
    this.#next = this.#acked;
    const last = index.range(this.#next - 1);
    return last ? last.offset + last.length : 0;
  }

  /** Whether the child takes no more input, or nobody sends any. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Takes bytes of any length; resolves when the window has room for more. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = Buffer.concat([this.#partial, bytes]);
    for (;;) {
      // What was cut before is cut again in the same places: the other side may have some of it.
      const before = this.#index?.range(this.#next)?.length;
      if (rest.length === 0 || (before !== undefined && rest.length < before)) break;
      while (!this.#closed && this.#inFlight >= this.#window) await this.#moved();
      if (this.#closed) return;
      const length = before ?? Math.min(CHUNK_BYTES, rest.length);
      this.#put(rest.subarray(0, length), false);
      rest = rest.subarray(length);
    }
    this.#partial = rest;
  }

  end(): void {
    if (!this.#closed) this.#put(new Uint8Array(), true);
  }

  ack(next_seq: number, window_bytes: number): void {
    for (const [seq, { data }] of this.#unacked) {
      if (seq >= next_seq) break;
      this.#inFlight -= data.length;
      this.#unacked.delete(seq);
    }
    if (next_seq > this.#acked) {
      this.#acked = next_seq;
      this.#movedAt = this.#line.elapsed();
    }
    this.#heard = true;
    this.#window = Math.min(window_bytes, STREAM_MAX_WINDOW_BYTES);
    this.#wake();
  }

  resume(from_seq: number): void {
    for (const [seq, chunk] of this.#unacked) if (seq >= from_seq) this.#send(seq, chunk);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#unacked.clear();
    this.#index?.close();
    this.#wake();
  }

  #put(data: Uint8Array, eof: boolean): void {
    const seq = this.#next++;
    const chunk = { data, eof };
    if (this.#index?.count === seq) this.#index.cut(data.length, this.#line.now());
    if (this.#unacked.size === 0) this.#movedAt = this.#line.elapsed();
    this.#unacked.set(seq, chunk);
    this.#inFlight += data.length;
    this.#send(seq, chunk);
  }

  #send(seq: number, chunk: { data: Uint8Array; eof: boolean }): void {
    this.#line.send({
      data: Buffer.from(chunk.data).toString("base64"),
      eof: chunk.eof,
      created_at: new Date(this.#line.now()).toISOString(),
      nonce: newNonce(),
      seq,
    });
  }

  #sendAgainIfStuck(): void {
    const first = this.#unacked.get(this.#acked);
    // The first one alone: an answer to it tells where the other side stands.
    if (first && this.#line.elapsed() - this.#movedAt >= SEND_AGAIN_MS) this.#send(this.#acked, first);
  }

  #moved(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
