import { createHash } from "node:crypto";
import { decodeChunk, STREAM_ACK_BYTES, STREAM_ACK_INTERVAL_MS, type StreamChunk } from "@mx-agent/protocol";

/** How much output is held for a reader that is slower than the stream, in bytes. */
const WINDOW = 1024 * 1024;
/** A number that is missing for so long is asked for again. */
const ASK_AGAIN_MS = 1_000;

export interface StreamSink {
  /** Hands bytes on, in order, with the time that the other side gives them; resolves when the reader can take more. */
  deliver(bytes: Uint8Array, timestamp: string): Promise<void>;
  ack(next_seq: number, window_bytes: number): void;
  resume(from_seq: number): void;
}

/** Puts one stream's chunks in order, each once, at the reader's pace, and asks for what is missing. */
export class StreamReceiver {
  readonly #sink: StreamSink;
  readonly #waiting = new Map<number, { bytes: Uint8Array; eof: boolean; timestamp: string }>();
  readonly #hash = createHash("sha256");
  readonly #timers: NodeJS.Timeout[] = [];
  #next = 0;
  #held = 0;
  #bytes = 0;
  #sinceAck = 0;
  #ended = false;
  /** The number of the end marker, once `finished` has told it. */
  #marker: number | undefined;
  #delivering = false;
  #closed = false;
  #progress = 0;
  #arrivals = 0;
  /** The number that was asked for last by itself, and how many chunks had come then. */
  #asked = { seq: -1, arrivals: -1 };
  #waiters: (() => void)[] = [];

  constructor(sink: StreamSink) {
    this.#sink = sink;
    this.#timers.push(setInterval(() => this.#ackIfMoved(), STREAM_ACK_INTERVAL_MS));
    this.#timers.push(setInterval(() => this.#askIfMissing(), ASK_AGAIN_MS));
    for (const timer of this.#timers) timer.unref();
  }

  /** Takes a verified chunk, in whatever order; one with a wrong digest is dropped, and asked for again later. */
  push(chunk: StreamChunk): void {
    this.#arrivals++;
    if (this.#closed || chunk.seq < this.#next || this.#waiting.has(chunk.seq)) {
      this.#ack();
      return;
    }
    const bytes = chunk.eof ? new Uint8Array() : decodeChunk(chunk);
    // A sender that overruns its window is not kept: what is dropped is asked for again.
    if (!bytes || (chunk.seq !== this.#next && this.#held + bytes.length > 2 * WINDOW)) return;
    this.#held += bytes.length;
    this.#waiting.set(chunk.seq, { bytes, eof: chunk.eof, timestamp: chunk.timestamp });
    this.#drain();
  }

  /** There are so many numbers, the end marker's included: who knows that does not wait for the marker. */
  expect(count: number): void {
    this.#marker = count - 1;
    if (!this.#closed && !this.#ended && this.#next === this.#marker) this.#end();
  }

  /** Whether everything was delivered, up to the end marker or to where `finished` says that it is. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether the reader has not taken yet what there is for him. */
  get busy(): boolean {
    return this.#delivering;
  }

  /** Whether nothing more is handed on: the reader has gone, or nobody waits any more. */
  get closed(): boolean {
    return this.#closed;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Grows with every chunk that was delivered. */
  get progress(): number {
    return this.#progress;
  }

  /** Grows with every chunk that comes, also one that is here already. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** SHA-256 over all delivered bytes, standard base64. */
  digest(): string {
    return this.#hash.copy().digest("base64");
  }

  /** Asks for everything from the first missing number. */
  askAgain(): void {
    if (!this.#ended && !this.#closed) this.#sink.resume(this.#next);
  }

  /** Resolves when something was delivered, or the stream ended or was closed. */
  changed(): Promise<void> {
    if (this.#ended || this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#waiting.clear();
    this.#wake();
  }

  #drain(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    this.#deliver().catch(() => this.close());
  }

  async #deliver(): Promise<void> {
    try {
      for (
        let chunk = this.#waiting.get(this.#next);
        chunk && !this.#closed;
        chunk = this.#waiting.get(this.#next)
      ) {
        this.#hash.update(chunk.bytes);
        if (chunk.bytes.length > 0) await this.#sink.deliver(chunk.bytes, chunk.timestamp);
        // Until it was taken it is known: one that comes again meanwhile is not a new one.
        this.#waiting.delete(this.#next);
        this.#next++;
        this.#progress++;
        this.#bytes += chunk.bytes.length;
        this.#held -= chunk.bytes.length;
        this.#sinceAck += chunk.bytes.length;
        if (chunk.eof || this.#next === this.#marker) this.#end();
        else if (this.#sinceAck >= STREAM_ACK_BYTES) this.#ack();
        this.#wake();
      }
    } finally {
      // At once, not a turn later: what comes in between would be left lying.
      this.#delivering = false;
    }
  }

  #end(): void {
    this.#ended = true;
    this.#next = Math.max(this.#next, (this.#marker ?? 0) + 1);
    this.#ack();
    this.#wake();
  }

  #askIfMissing(): void {
    if (this.#waiting.size === 0 || this.#waiting.has(this.#next) || this.#delivering) return;
    // Where the line is slow, what was asked for is behind what comes: to ask again would make it slower.
    const { seq, arrivals } = this.#asked;
    const isComing = seq === this.#next && arrivals !== this.#arrivals;
    this.#asked = { seq: this.#next, arrivals: this.#arrivals };
    if (!isComing) this.askAgain();
  }

  #ackIfMoved(): void {
    if (this.#sinceAck > 0) this.#ack();
  }

  #ack(): void {
    if (this.#closed) return;
    this.#sinceAck = 0;
    // Counted from the next number: what is held lies within it.
    this.#sink.ack(this.#next, WINDOW);
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
