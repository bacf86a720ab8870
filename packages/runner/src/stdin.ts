import type { Writable } from "node:stream";
import { mxError } from "@mx-agent/base";

/**
 * A child's stdin, written by offset: what was taken already is skipped, so that a client may send
 * again what it does not know the fate of. Writes happen one after the other.
 */
export class StdinPipe {
  /** Bytes that the pipe took, or that were thrown away because nobody reads any more. */
  taken = 0;
  ended: boolean;
  #pipe: Writable | null;
  #last: Promise<void> = Promise.resolve();

  /** null: the child's stdin is /dev/null, and has ended. */
  constructor(pipe: Writable | null) {
    this.#pipe = pipe;
    this.ended = pipe === null;
    pipe?.on("error", () => this.close());
    pipe?.on("close", () => this.close());
  }

  /** Resolves when the pipe took all of it, with the new length. */
  write(offset: number, data: Uint8Array, eof: boolean): Promise<number> {
    const turn = this.#last.then(() => this.#write(offset, data, eof));
    this.#last = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn;
  }

  /** No more is taken, and nobody waits: the child has ended, or closed its end. */
  close(): void {
    const pipe = this.#pipe;
    this.#pipe = null;
    this.ended = true;
    pipe?.destroy();
  }

  async #write(offset: number, data: Uint8Array, eof: boolean): Promise<number> {
    if (offset > this.taken)
      throw mxError("MX_PROTOCOL", {
        detail: `stdin continues at ${offset}, but only ${this.taken} bytes came`,
        hint: "send the missing bytes first",
      });
    const rest = data.subarray(this.taken - offset);
    if (rest.length > 0 && !this.ended) await this.#push(rest);
    this.taken += rest.length;
    if (eof && !this.ended) {
      this.ended = true;
      this.#pipe?.end();
    }
    return this.taken;
  }

  #push(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      const pipe = this.#pipe;
      if (pipe === null) return resolve();
      const done = () => {
        pipe.off("close", done);
        resolve();
      };
      pipe.once("close", done);
      // An error means that nobody reads any more, which is the child's right; `close` handles it.
      pipe.write(bytes, done);
    });
  }
}
