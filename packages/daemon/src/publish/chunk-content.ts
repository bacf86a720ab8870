import { encodeChunk, type StreamChunk } from "@mx-agent/protocol";

/** The most bytes of a stream that one chunk carries: as base64, with its envelope, it stays under 40 KiB. */
export const MAX_CHUNK_BYTES = 24 * 1024;

export interface ChunkPlace {
  invocation_id: string;
  stream: "stdout" | "stderr";
  seq: number;
}

type Unsigned = Omit<StreamChunk, "signature" | "binding">;

/** The content of one chunk, to be bound and signed; `at`: when its bytes came. */
export function chunkContent(place: ChunkPlace, bytes: Uint8Array, at: number): Unsigned {
  return {
    ...place,
    ...encodeChunk(bytes),
    eof: false,
    compressed: false,
    timestamp: new Date(at).toISOString(),
  };
}

/** The marker that ends a stream; it takes a number of its own. */
export function eofContent(place: ChunkPlace, now: number): Unsigned {
  return {
    ...place,
    encoding: "utf-8",
    data: "",
    eof: true,
    compressed: false,
    sha256: null,
    timestamp: new Date(now).toISOString(),
  };
}
