import { mxError } from "@mx-agent/base";
import type { ActiveCall } from "@mx-agent/ipc";
import type { Cli } from "../cli.ts";

/** Bytes of stdin in one item; base64 makes a third more of them. */
const PIECE = 48 * 1024;
/** The latest bytes, kept for a daemon that comes after this one: more than can be under way to the child. */
const KEPT_BYTES = 4 * 1024 * 1024;

type Call = ActiveCall<"exec.run"> | ActiveCall<"exec.resume">;

/** Our stdin, for one call after another: it is read once, at the pace of the other end. */
export class StdinFeed {
  readonly #input: AsyncIterator<Uint8Array | string>;
  #kept: Buffer[] = [];
  /** Offset of the first byte that is kept, and of the first that was not read yet. */
  #start = 0;
  #end = 0;
  #ended = false;
  #reading: Promise<void> | undefined;

  constructor(cli: Pick<Cli, "stdin">) {
    this.#input = cli.stdin[Symbol.asyncIterator]();
  }

  /** Sends everything from that byte on as it comes, and then its end. MX_STREAM_INCOMPLETE when that is gone. */
  async sendTo(call: Call, from: number, invocation_id: string): Promise<void> {
    let offset = from;
    for (;;) {
      if (offset < this.#start || offset > this.#end)
        throw mxError("MX_STREAM_INCOMPLETE", {
          invocation_id,
          detail: "input that was under way got lost with the daemon",
        });
      if (offset === this.#end) {
        if (this.#ended) return call.send({ type: "eof" });
        await this.#read();
        continue;
      }
      const piece = this.#piece(offset);
      await call.send({ type: "stdin", data: piece.toString("base64") });
      offset += piece.length;
    }
  }

  #piece(offset: number): Buffer {
    let at = this.#start;
    for (const bytes of this.#kept) {
      if (offset < at + bytes.length) return bytes.subarray(offset - at, offset - at + PIECE);
      at += bytes.length;
    }
    return Buffer.alloc(0);
  }

  /** One read at a time, whoever waits for it: a call that is over may still. */
  #read(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    const { value, done } = await this.#input.next();
    if (done) {
      this.#ended = true;
      return;
    }
    const bytes = Buffer.from(value);
    this.#kept.push(bytes);
    this.#end += bytes.length;
    for (
      let first = this.#kept[0];
      first && this.#end - this.#start - first.length >= KEPT_BYTES;
      first = this.#kept[0]
    ) {
      this.#kept.shift();
      this.#start += first.length;
    }
  }
}
