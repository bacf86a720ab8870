import { mxError } from "./mx-error.ts";

/** The largest frame body that is sent or taken, in bytes. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** One frame: a 4-byte big-endian length, then that many bytes of UTF-8 JSON. */
export function encodeFrame(body: Uint8Array | string): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body, "utf8") : body;
  if (bytes.length > MAX_FRAME_BYTES)
    throw mxError("MX_FRAME_TOO_LARGE", { bytes: bytes.length, limit: MAX_FRAME_BYTES });
  const frame = Buffer.allocUnsafe(4 + bytes.length);
  frame.writeUInt32BE(bytes.length, 0);
  frame.set(bytes, 4);
  return frame;
}

/**
 * Cuts a byte stream into frame bodies. Holds at most one frame; a length over the limit is
 * MX_FRAME_TOO_LARGE, after which the stream cannot be trusted and must be closed.
 */
export class FrameDecoder {
  #parts: Uint8Array[] = [];
  #buffered = 0;

  /** Takes the next bytes and answers the bodies that are complete with them. */
  push(bytes: Uint8Array): Buffer[] {
    this.#parts.push(bytes);
    this.#buffered += bytes.length;
    const bodies: Buffer[] = [];
    for (;;) {
      const length = this.#nextLength();
      if (length === undefined || this.#buffered < 4 + length) return bodies;
      const joined = Buffer.concat(this.#parts);
      bodies.push(joined.subarray(4, 4 + length));
      const rest = joined.subarray(4 + length);
      this.#parts = rest.length > 0 ? [rest] : [];
      this.#buffered = rest.length;
    }
  }

  /** Whether the stream ended inside of a frame. */
  get incomplete(): boolean {
    return this.#buffered > 0;
  }

  #nextLength(): number | undefined {
    if (this.#buffered < 4) return undefined;
    let head = this.#parts[0];
    if (head === undefined || head.length < 4) {
      head = Buffer.concat(this.#parts);
      this.#parts = [head];
    }
    const length = Buffer.from(head.buffer, head.byteOffset, 4).readUInt32BE(0);
    if (length > MAX_FRAME_BYTES)
      throw mxError("MX_FRAME_TOO_LARGE", { bytes: length, limit: MAX_FRAME_BYTES });
    return length;
  }
}
