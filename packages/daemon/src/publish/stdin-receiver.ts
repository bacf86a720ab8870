import type { ExecStdin } from "@mx-agent/protocol";
import type { ChunkIndex } from "./chunk-index.ts";

/** How much of stdin is held while the child does not read it, in bytes. */
const WINDOW = 1024 * 1024;
const ACK_BYTES = 256 * 1024;
/** A number that is missing for so long is asked for: messages under way together may change places. */
const ASK_AFTER_MS = 500;
const TRY_AGAIN_MS = 1_000;

export interface StdinSink {
  /** Hands bytes to the child at an offset; resolves when its pipe took them. */
  write(offset: number, data: Uint8Array, eof: boolean): Promise<void>;
  ack(next_seq: number, window_bytes: number): void;
  resume(from_seq: number): void;
  /** Something could not be handed on; it is tried again. */
  failed(error: unknown): void;
  /** Where each chunk ends: written before it is handed on, so that the next daemon goes on from there. */
  index: ChunkIndex;
}

/** Puts the requester's stdin chunks in order and hands them to the child at the child's pace. */
export class StdinReceiver {
  readonly #sink: StdinSink;
  readonly #waiting = new Map<number, { data: Uint8Array; eof: boolean }>();
  #next = 0;
  /** The number after the highest that was taken, which the next one without a number has. */
  #following = 0;
  #offset = 0;
  #held = 0;
  #sinceAck = 0;
  #writing = false;
  #closed = false;
  /** Until a number is asked for. */
  #asking: NodeJS.Timeout | undefined;
  /** Until what could not be handed on is tried again. */
  #trying: NodeJS.Timeout | undefined;

  constructor(sink: StdinSink) {
    this.#sink = sink;
  }

  /** Takes a chunk; one that was taken already, or that the window has no room for, is dropped. */
  push(chunk: ExecStdin): void {
    const data = Buffer.from(chunk.data, "base64");
    const seq = chunk.seq ?? Math.max(this.#following, this.#next);
    if (this.#closed || seq < this.#next || this.#waiting.has(seq)) {
      this.#ack();
      return;
    }
    if (seq !== this.#next && this.#held + data.length > 2 * WINDOW) return;
    const { index } = this.#sink;
    // Nobody sends it again: what a daemon that ends now has of it, and has not handed on, the next one misses.
    if (chunk.seq === undefined && index.count === seq) index.cut(data.length, Date.now());
    this.#held += data.length;
    this.#following = Math.max(this.#following, seq + 1);
    this.#waiting.set(seq, { data, eof: chunk.eof });
    this.#drain();
    this.#askIfMissing();
  }

  /**
   * Goes on for a daemon before: of the bytes in the index the child has taken so many. One that is under way here goes
   * on by itself: what the runner did not answer is handed on again.
   */
  resumeAt(taken: number): void {
    const { index } = this.#sink;
    const isNew = this.#next === 0 && this.#waiting.size === 0;
    for (let place = isNew ? index.range(0) : undefined; place; place = index.range(this.#next)) {
      const last = this.#next === index.count - 1;
      // The last one may be the empty end marker, of which nobody can tell whether it was handed on.
      if (place.offset + place.length > taken || (last && place.length === 0)) break;
      this.#next++;
      this.#offset = place.offset + place.length;
    }
    this.#sink.resume(this.#next);
  }

  /** Whether some was taken, and neither handed to the child nor is here to be. */
  get lacks(): boolean {
    return !this.#closed && this.#next < this.#sink.index.count && !this.#waiting.has(this.#next);
  }

  /** Says how far the input has come, to a requester who does not know. */
  tell(): void {
    this.#ack();
  }

  /** The child's input has ended, under a daemon before. */
  endedBefore(): void {
    this.#next = this.#sink.index.count;
    this.close();
  }

  /** The child takes no more input. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#asking);
    clearTimeout(this.#trying);
    this.#sink.index.close();
    this.#waiting.clear();
    this.#held = 0;
  }

  #drain(): void {
    if (this.#writing) return;
    this.#writing = true;
    this.#write().then(
      () => this.#askIfMissing(),
      (error: unknown) => this.#failed(error),
    );
  }

  /** The disk takes no boundary, or the runner is gone: tried again, as long as the run is there to take it. */
  #failed(error: unknown): void {
    this.#sink.failed(error);
    this.#trying ??= setTimeout(() => {
      this.#trying = undefined;
      if (!this.#closed) this.#drain();
    }, TRY_AGAIN_MS);
    this.#trying.unref();
  }

  #askIfMissing(): void {
    if (!this.#isMissing || this.#asking !== undefined) return;
    const seq = this.#next;
    this.#asking = setTimeout(() => {
      this.#asking = undefined;
      if (this.#isMissing && this.#next === seq) this.#sink.resume(seq);
      this.#askIfMissing();
    }, ASK_AFTER_MS);
    this.#asking.unref();
  }

  /** Later ones are there, and the next one is neither there nor on its way into the child. */
  get #isMissing(): boolean {
    return !this.#closed && !this.#writing && this.#waiting.size > 0 && !this.#waiting.has(this.#next);
  }

  async #write(): Promise<void> {
    try {
      for (
        let chunk = this.#waiting.get(this.#next);
        chunk && !this.#closed;
        chunk = this.#waiting.get(this.#next)
      ) {
        const { index } = this.#sink;
        if (index.count === this.#next) index.cut(chunk.data.length, Date.now());
        await this.#sink.write(this.#offset, chunk.data, chunk.eof);
        // Until it was taken it is known: one that comes again meanwhile is not a new one.
        this.#waiting.delete(this.#next);
        this.#next++;
        this.#offset += chunk.data.length;
        this.#held -= chunk.data.length;
        this.#sinceAck += chunk.data.length;
        if (this.#sinceAck >= ACK_BYTES || chunk.eof) this.#ack();
        if (chunk.eof) this.close();
      }
    } finally {
      // At once, not a turn later: what comes in between would be left lying.
      this.#writing = false;
    }
  }

  #ack(): void {
    this.#sinceAck = 0;
    // Counted from the next number: what is held lies within it.
    this.#sink.ack(this.#next, WINDOW);
  }
}
