import { isUtf8 } from "node:buffer";
import { decodeBase64 } from "./base64.ts";
import { sha256Base64 } from "./signing.ts";
import type { StreamChunk } from "./v1/contents.ts";

/** The bytes of a chunk as fields: UTF-8 where they are, base64 otherwise, with their digest. */
export function encodeChunk(bytes: Uint8Array): Pick<StreamChunk, "encoding" | "data" | "sha256"> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const sha256 = sha256Base64(bytes);
  const text = isUtf8(buffer) ? buffer.toString("utf8") : undefined;
  // Control characters grow to six bytes each in JSON, base64 grows by a third: the smaller one goes.
  if (text !== undefined && Buffer.byteLength(JSON.stringify(text)) <= (bytes.length * 4) / 3 + 4)
    return { encoding: "utf-8", data: text, sha256 };
  return { encoding: "base64", data: buffer.toString("base64"), sha256 };
}

/** The bytes of a chunk; undefined when its digest is not theirs. A chunk without a digest is taken as it is. */
export function decodeChunk(chunk: Pick<StreamChunk, "encoding" | "data" | "sha256">): Buffer | undefined {
  const bytes = chunk.encoding === "base64" ? decodeBase64(chunk.data) : Buffer.from(chunk.data, "utf8");
  if (bytes === undefined) return undefined;
  return chunk.sha256 === null || chunk.sha256 === sha256Base64(bytes) ? bytes : undefined;
}
