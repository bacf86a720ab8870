/**
 * The two ends of an item stream. The sender keeps at most a window of bytes under way; the reader
 * acknowledges what its consumer has taken. So a slow consumer holds at most a window (and one item)
 * in memory, here and there.
 */
import { mxError } from "@mx-agent/base";
import { WINDOW_BYTES } from "./wire.ts";

interface Queued<T> {
  item: T;
  sent: () => void;
  failed: (error: unknown) => void;
}

export class ItemSender<T> {
  /** Writes one item; answers its bytes on the wire. */
  readonly #post: (item: T) => number;
  #queue: Queued<T>[] = [];
  /** Sends whose item is written and that wait for room for the next one. */
  #full: (() => void)[] = [];
  #sentBytes = 0;
  #ackedBytes = 0;
  #closed: { error: unknown } | undefined;

  constructor(post: (item: T) => number) {
    this.#post = post;
  }

  /** Resolves when there is room for the next item. In order, also when not awaited. */
  send(item: T): Promise<void> {
    if (this.#closed) return this.#closed.error ? Promise.reject(this.#closed.error) : Promise.resolve();
    return new Promise((sent, failed) => {
      this.#queue.push({ item, sent, failed });
      this.#pump();
    });
  }

  /** `bytes`: all that the reader has taken since the beginning. */
  acknowledged(bytes: number): void {
    if (bytes <= this.#ackedBytes || bytes > this.#sentBytes) return;
    this.#ackedBytes = bytes;
    this.#pump();
  }

  /** Resolves when everything that was handed to `send` is written. */
  async flushed(): Promise<void> {
    while (this.#queue.length > 0) {
      await new Promise<void>((resolve) => this.#full.push(resolve));
      if (this.#closed) return;
    }
  }

  /** Ends waiting: sends fail with the error, or, without one, are dropped. */
  close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = { error };
    const queue = this.#queue;
    this.#queue = [];
    for (const { sent, failed } of queue) error ? failed(error) : sent();
    this.#release();
  }

  #pump(): void {
    while (this.#hasRoom) {
      this.#release();
      const next = this.#queue.shift();
      if (next === undefined) return;
      try {
        this.#sentBytes += this.#post(next.item);
      } catch (error) {
        next.failed(error);
        continue;
      }
      if (this.#hasRoom) next.sent();
      else this.#full.push(next.sent);
    }
  }

  get #hasRoom(): boolean {
    return this.#sentBytes - this.#ackedBytes < WINDOW_BYTES;
  }

  #release(): void {
    const full = this.#full;
    this.#full = [];
    for (const resolve of full) resolve();
  }
}

export class ItemReader<T> implements AsyncIterable<T> {
  readonly #acknowledge: (bytes: number) => void;
  readonly #items: { item: T; bytes: number }[] = [];
  #bufferedBytes = 0;
  #takenBytes = 0;
  #toldBytes = 0;
  #ended = false;
  #dropping = false;
  #arrival = Promise.withResolvers<void>();
  #drained = Promise.withResolvers<void>();

  /** `acknowledge` is told the bytes of all items taken since the beginning. */
  constructor(acknowledge: (bytes: number) => void) {
    this.#acknowledge = acknowledge;
  }

  /** Takes an item that arrived. MX_PROTOCOL when the sender ignores the window. */
  push(item: T, bytes: number): void {
    if (this.#ended) return;
    // The last item may begin inside the window and end beyond it.
    if (this.#bufferedBytes >= WINDOW_BYTES)
      throw mxError("MX_PROTOCOL", { detail: "more items than the window allows", hint: "" });
    if (this.#dropping) {
      this.#took(bytes);
      return;
    }
    this.#items.push({ item, bytes });
    this.#bufferedBytes += bytes;
    this.#wake();
  }

  /** No more items come. */
  end(): void {
    this.#ended = true;
    if (this.#items.length === 0) this.#drained.resolve();
    this.#wake();
  }

  /** From now on items are taken and forgotten. */
  drop(): void {
    this.#dropping = true;
    for (const { bytes } of this.#items.splice(0)) {
      this.#bufferedBytes -= bytes;
      this.#took(bytes);
    }
    if (this.#ended) this.#drained.resolve();
  }

  /** Resolves when the end came and the last item was taken. */
  get drained(): Promise<void> {
    return this.#drained.promise;
  }

  /** Items in order. An item counts as taken when the next one is asked for; leaving early drops the rest. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        const next = this.#items.shift();
        if (next === undefined) {
          if (this.#ended) return;
          await this.#arrival.promise;
          continue;
        }
        this.#bufferedBytes -= next.bytes;
        if (this.#ended && this.#items.length === 0) this.#drained.resolve();
        yield next.item;
        this.#took(next.bytes);
      }
    } finally {
      this.drop();
    }
  }

  #took(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#ended || this.#takenBytes - this.#toldBytes < WINDOW_BYTES / 4) return;
    this.#toldBytes = this.#takenBytes;
    this.#acknowledge(this.#takenBytes);
  }

  #wake(): void {
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers<void>();
  }
}
