import { STREAM_MAX_WINDOW_BYTES, STREAM_STALL_MS } from "@mx-agent/protocol";
import type { RunStream } from "@mx-agent/runner";
import { chunkContent, eofContent, MAX_CHUNK_BYTES } from "./chunk-content.ts";
import type { ChunkIndex } from "./chunk-index.ts";

/** Output is gathered for so long before it is sent, unless a whole chunk is there or the line was idle. */
const GATHER_MS = 20;
/** What a receiver takes before its first acknowledgement, in bytes. */
const INITIAL_WINDOW = 1024 * 1024;
const RETRY_AFTER_MS = 1_000;
/** So long without an acknowledgement, and the first chunk that lacks one is sent again: it or its answer was lost. */
const SEND_AGAIN_MS = 5_000;

export interface StreamLine {
  invocation_id: string;
  stream: RunStream;
  index: ChunkIndex;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Sends one chunk; resolves when the homeserver took it, rejects when it did not. */
  send(content: object): Promise<void>;
  /** Whether the receiver acknowledges; where not, what the homeserver took counts as acknowledged. */
  acknowledged: boolean;
  gatherMs?: number;
  /** For timestamps, milliseconds since the epoch. */
  now(): number;
  /** For how long something took, milliseconds: it neither jumps nor stands still when the clock is set. */
  elapsed(): number;
}

/**
 * Sends one stream of a run out of its spool: numbered chunks within the receiver's window, again from any
 * number on request. Memory holds a window at most, whatever the stream's length.
 */
export class StreamPublisher {
  readonly #line: StreamLine;
  #available = 0;
  #ended = false;
  #markerHeld = false;
  #next = 0;
  #acked = 0;
  #window = INITIAL_WINDOW;
  #heard: number;
  #lastSent = 0;
  #timer: NodeJS.Timeout | undefined;
  #sendAgain: NodeJS.Timeout | undefined;
  #pumping = false;
  #again = false;
  #closed = false;
  #idle: (() => void)[] = [];
  /** Chunks that wait for the homeserver to take them. */
  readonly #underWay = new Set<number>();
  readonly #taken = Promise.withResolvers<void>();

  constructor(line: StreamLine, resumeAt = 0) {
    this.#line = line;
    this.#heard = line.elapsed();
    this.#next = Math.min(resumeAt, line.index.count);
    this.#acked = this.#next;
    this.#available = line.index.end;
  }

  /** The spool holds so many bytes now. */
  available(bytes: number): void {
    this.#available = Math.max(this.#available, bytes);
    this.#schedule();
  }

  /**
   * No more bytes come: everything is cut into chunks at once. Answers how many chunks the stream has, the EOF
   * marker included. A marker that is held waits for `releaseMarker`.
   */
  end(bytes: number, holdMarker = false): number {
    this.#markerHeld = holdMarker;
    this.#available = Math.max(this.#available, bytes);
    const { index } = this.#line;
    while (index.end < this.#available)
      index.cut(Math.min(MAX_CHUNK_BYTES, this.#available - index.end), this.#line.now());
    // A run's streams are kept for a while after its end, its files need not be open.
    index.close();
    this.#ended = true;
    this.#pump();
    return index.count + 1;
  }

  releaseMarker(): void {
    this.#markerHeld = false;
    this.#schedule();
  }

  /** The receiver has everything below `next_seq` and takes `window_bytes` more. */
  ack(next_seq: number, window_bytes: number): void {
    this.#heard = this.#line.elapsed();
    this.#acked = Math.max(this.#acked, Math.min(next_seq, this.#last));
    this.#next = Math.max(this.#next, this.#acked);
    this.#window = Math.min(window_bytes, STREAM_MAX_WINDOW_BYTES);
    this.#schedule();
  }

  /** The receiver asks for everything from `from_seq` on: he has all that is before it. */
  resume(from_seq: number): void {
    this.#heard = this.#line.elapsed();
    this.#next = Math.min(from_seq, this.#last);
    this.#acked = this.#next;
    this.#schedule();
  }

  /** Resolves when nothing more can be handed to the outbox at the moment: all was, or the window is full. */
  settled(): Promise<void> {
    if (!this.#pumping && !this.#timer) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Whether everything, the EOF marker included, was acknowledged. */
  get done(): boolean {
    return this.#ended && this.#acked >= this.#line.index.count + 1;
  }

  /** Resolves once `done`; never where it is closed before. */
  get taken(): Promise<void> {
    return this.#taken.promise;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    clearTimeout(this.#sendAgain);
    this.#line.index.close();
    this.#settle();
  }

  get #last(): number {
    return this.#line.index.count + (this.#ended ? 1 : 0);
  }

  #schedule(): void {
    if (this.#closed) return;
    if (this.done) this.#taken.resolve();
    const gather = this.#line.gatherMs ?? GATHER_MS;
    const idle = this.#line.elapsed() - this.#lastSent >= gather;
    if (this.#ended || idle || this.#available - this.#line.index.end >= MAX_CHUNK_BYTES) {
      this.#pump();
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, gather);
  }

  #pump(): void {
    this.#again = true;
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    this.#run()
      .catch(() => this.#retryLater())
      .finally(() => {
        this.#pumping = false;
        this.#settle();
      });
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      while (!this.#closed && this.#maySend()) {
        const { index } = this.#line;
        if (this.#next === index.count && index.end < this.#available)
          index.cut(Math.min(MAX_CHUNK_BYTES, this.#available - index.end), this.#line.now());
        const seq = this.#next;
        if (this.#underWay.has(seq)) {
          // It comes as it is; a second copy would stand in the way of all that follows.
          this.#next++;
          this.#watch();
          continue;
        }
        const content = await this.#content(seq);
        if (!content || this.#closed) break;
        // While it was read, the receiver may have asked for another one.
        if (seq !== this.#next) continue;
        // Silence counts from the first chunk that waits for an answer, not from before there was any.
        if (this.#acked === seq) this.#heard = this.#line.elapsed();
        this.#next++;
        this.#send(seq, content);
        this.#watch();
      }
    }
  }

  #send(seq: number, content: object): void {
    this.#lastSent = this.#line.elapsed();
    this.#underWay.add(seq);
    this.#line
      .send(content)
      .finally(() => this.#underWay.delete(seq))
      .then(
        () => this.#sent(seq),
        () => this.#failed(seq),
      );
  }

  /** As long as something is unanswered, and the receiver has not been silent for too long. */
  #watch(): void {
    if (!this.#line.acknowledged || this.#closed) return;
    this.#sendAgain ??= setTimeout(() => {
      this.#sendAgain = undefined;
      if (this.#acked >= this.#next || this.#isStalled()) return;
      const silent = this.#line.elapsed() - this.#heard >= SEND_AGAIN_MS;
      (silent ? this.#sendFirst() : Promise.resolve()).then(
        () => this.#watch(),
        () => this.#watch(),
      );
    }, SEND_AGAIN_MS).unref();
  }

  async #sendFirst(): Promise<void> {
    const seq = this.#acked;
    if (this.#underWay.has(seq)) return;
    const content = await this.#content(seq);
    if (content && !this.#closed && seq === this.#acked && seq < this.#next) this.#send(seq, content);
  }

  #isStalled(): boolean {
    return this.#line.elapsed() - this.#heard > STREAM_STALL_MS;
  }

  #maySend(): boolean {
    const { index } = this.#line;
    const there = this.#next < this.#last || index.end < this.#available;
    if (!there) return false;
    if (this.#markerHeld && this.#ended && this.#next === index.count) return false;
    if (this.#acked < this.#next && this.#isStalled()) return false;
    return startOf(index, this.#next) - startOf(index, this.#acked) < this.#window;
  }

  async #content(seq: number): Promise<object | undefined> {
    const { index, invocation_id, stream, now, read } = this.#line;
    const range = index.range(seq);
    if (range) {
      const bytes = await read(range.offset, range.length);
      return chunkContent({ invocation_id, stream, seq }, bytes, index.timeOf(seq) ?? now());
    }
    return this.#ended && seq === index.count ? eofContent({ invocation_id, stream, seq }, now()) : undefined;
  }

  #sent(seq: number): void {
    if (!this.#line.acknowledged) {
      this.#heard = this.#line.elapsed();
      this.#acked = Math.max(this.#acked, seq + 1);
    }
    this.#schedule();
  }

  #failed(seq: number): void {
    this.#next = Math.min(this.#next, seq);
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, RETRY_AFTER_MS);
  }

  #settle(): void {
    if (!this.#closed && (this.#pumping || this.#timer)) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function startOf(index: ChunkIndex, seq: number): number {
  return index.range(seq)?.offset ?? index.end;
}
