/** Output and input as it moves: PROTOCOL "Timeline events" stream.*, "To-device events" stream.ack and stream.resume. */
import { z } from "zod";
import { decodeBase64 } from "../base64.ts";
import { count, encryptedFile, id, mxcUri, sha256, signed, streamName, text, time } from "./fields.ts";

export const encoding = z.enum(["utf-8", "base64"]);

export const streamChunk = z
  .looseObject({
    invocation_id: id,
    stream: streamName,
    /** From 0 in each stream; the EOF marker takes one. */
    seq: count,
    encoding,
    data: text,
    eof: z.boolean(),
    compressed: z.literal(false),
    /** Over the decoded bytes; null on the EOF marker. */
    sha256: sha256.nullable(),
    timestamp: time,
    ...signed,
  })
  .refine((chunk) => chunk.encoding !== "base64" || decodeBase64(chunk.data) !== undefined, {
    path: ["data"],
    message: "not standard base64 with padding",
  });

export const streamArtifact = z.looseObject({
  invocation_id: id,
  stream: streamName,
  name: text,
  mime_type: text,
  size_bytes: count,
  /** Of the bytes before Matrix encryption. */
  sha256,
  mxc_uri: mxcUri,
  tail_preview: text,
  encrypted_file: z.exactOptional(encryptedFile),
  ...signed,
});

export const streamAck = z.looseObject({
  invocation_id: id,
  stream: streamName,
  /** The first number that was not received: everything before it may be forgotten. */
  next_seq: count,
  /** How many bytes beyond it may be under way. */
  window_bytes: count,
  ...signed,
});

export const streamResume = z.looseObject({
  invocation_id: id,
  stream: streamName,
  from_seq: count,
  ...signed,
});
