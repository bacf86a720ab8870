import { isUtf8 } from "node:buffer";
import type { Socket } from "node:net";
import { encodeFrame, FrameDecoder, failpoint, toMxError } from "@mx-agent/base";

export interface LinkEvents {
  /** One frame's JSON and the bytes of its body. */
  payload(payload: unknown, bytes: number): void;
  /** A whole frame that holds no JSON; the framing still holds. */
  garbage(): void;
  /** The framing is lost (MX_FRAME_TOO_LARGE); nothing more is read. */
  broken(error: Error): void;
  /** The connection is gone; comes once, last. */
  closed(error: Error | undefined): void;
}

export interface LinkOptions {
  /**
   * Stops reading while more than this many bytes wait to be written, so that a peer that asks and
   * does not listen is not answered into memory. On one side of a connection only: two sides that
   * waited for each other would wait for ever.
   */
  pauseAbove?: number;
}

/** JSON messages in frames over one socket, in order. Owns the socket. */
export class Link {
  readonly #socket: Socket;
  readonly #pauseAbove: number;
  #error: Error | undefined;

  constructor(socket: Socket, events: LinkEvents, options: LinkOptions = {}) {
    this.#socket = socket;
    this.#pauseAbove = options.pauseAbove ?? Number.POSITIVE_INFINITY;
    const decoder = new FrameDecoder();
    let broken = false;
    socket.on("data", (bytes) => {
      if (broken) return;
      let bodies: Buffer[];
      try {
        bodies = decoder.push(bytes);
      } catch (error) {
        broken = true;
        events.broken(toMxError(error));
        return;
      }
      for (const body of bodies) deliver(body, events);
    });
    socket.on("drain", () => socket.resume());
    socket.on("end", () => socket.end());
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => events.closed(this.#error));
  }

  /** Sends one message; answers the bytes of its body. MX_FRAME_TOO_LARGE when it does not fit a frame. */
  post(payload: object): number {
    const frame = encodeFrame(JSON.stringify(payload));
    if (this.#socket.writable) {
      failpoint("ipc.before_send");
      this.#socket.write(frame);
      failpoint("ipc.after_send");
      if (this.#socket.writableLength > this.#pauseAbove) this.#socket.pause();
    }
    return frame.length - 4;
  }

  /** Bytes that wait to be written. */
  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  /** Closes after what was posted has been written. */
  end(): void {
    this.#socket.resume();
    this.#socket.end();
  }

  /** Closes at once. */
  destroy(): void {
    this.#socket.destroy();
  }
}

function deliver(body: Buffer, events: LinkEvents): void {
  let payload: unknown;
  try {
    payload = JSON.parse(textOf(body));
  } catch {
    events.garbage();
    return;
  }
  events.payload(payload, body.length);
}

/** A decoder would put another character in the place of bytes that are none. */
function textOf(body: Buffer): string {
  if (!isUtf8(body)) throw new TypeError("not UTF-8");
  return body.toString("utf8");
}
