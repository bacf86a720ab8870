import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from "@mx-agent/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

describe("frames", () => {
  test("come out as they went in, however the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        (bodies, sizes) => {
          const stream = Buffer.concat(bodies.map((body) => encodeFrame(body)));
          const decoder = new FrameDecoder();
          const received: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const size = sizes[turn % sizes.length] ?? 1;
            received.push(...decoder.push(stream.subarray(at, at + size)));
            at += size;
          }
          expect(received.map((body) => body.toString("hex"))).toEqual(
            bodies.map((body) => Buffer.from(body).toString("hex")),
          );
          expect(decoder.incomplete).toBe(false);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("text is UTF-8 behind a 4-byte big-endian length", () => {
    expect(encodeFrame("é")).toEqual(Buffer.from([0, 0, 0, 2, 0xc3, 0xa9]));
  });

  test("half a frame is known to be half", () => {
    const decoder = new FrameDecoder();
    expect(decoder.push(encodeFrame("hello").subarray(0, 6))).toEqual([]);
    expect(decoder.incomplete).toBe(true);
  });

  test("a length of 4 GiB is refused before anything is kept for it", () => {
    expect(() => new FrameDecoder().push(Buffer.from([0xff, 0xff, 0xff, 0xff]))).toThrow(
      expect.objectContaining({ code: "MX_FRAME_TOO_LARGE" }),
    );
  });

  test("the limit is the same on both sides", () => {
    const largest = encodeFrame(Buffer.alloc(MAX_FRAME_BYTES));
    expect(new FrameDecoder().push(largest)[0]).toHaveLength(MAX_FRAME_BYTES);
    expect(() => encodeFrame(Buffer.alloc(MAX_FRAME_BYTES + 1))).toThrow(
      expect.objectContaining({ code: "MX_FRAME_TOO_LARGE" }),
    );
  });
});
