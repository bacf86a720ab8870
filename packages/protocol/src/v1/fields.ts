/**
 * The kinds of field that contents are made of. `name?` of PROTOCOL is `z.exactOptional(…)`: absent or a
 * value, never null; `name|null` is `….nullable()`: always present. No schema transforms anything: the
 * value that was received is the value that is verified.
 */
import { z } from "zod";
import { decodeBase64 } from "../base64.ts";
import { isId } from "../ids.ts";
import { MAX_NONCE_LENGTH } from "../limits.ts";
import { isUtcTime, parseTime } from "../times.ts";

/** An opaque id that arrived. */
export const id = z.string().refine(isId, "not 1 to 255 printable characters");
/** An id, or empty where nobody is meant. */
export const idOrEmpty = z.string().refine((text) => text === "" || isId(text), "not an id");
export const nonce = z.string().min(1).max(MAX_NONCE_LENGTH);

/** RFC 3339 in UTC with milliseconds. */
export const time = z
  .string()
  .refine((text) => parseTime(text) !== undefined, "not RFC 3339 in UTC with milliseconds");
/** RFC 3339 in UTC by any fraction: what is for display alone. */
export const looseTime = z.string().refine(isUtcTime, "not RFC 3339 in UTC");
/** Milliseconds since the epoch, counts, sizes, durations. */
export const count = z.int().nonnegative();
export const uint16 = z.int().min(0).max(0xffff);
export const exitCode = z
  .int()
  .min(-(2 ** 31))
  .max(2 ** 31 - 1);

export const base64 = z
  .string()
  .refine((text) => decodeBase64(text) !== undefined, "not standard base64 with padding");
/** The 32 bytes of a SHA-256 in standard base64 with padding. */
export const sha256 = z
  .string()
  .refine((text) => decodeBase64(text)?.length === 32, "not a SHA-256 in base64");

/** Free text for people; bounded by the size of the content. */
export const text = z.string();
/** A short word of a vocabulary that may grow: a kind, a status, a reason, a signal's name. */
export const word = z.string().min(1).max(64);

/** What an operating system takes as an argument, a path or a value of its environment: no NUL. */
export const osString = z.string().refine((value) => !value.includes("\0"), "holds a NUL character");
export const argv = z.array(osString).min(1);
/** Names to values. Not a z.record, which passes over `__proto__` unchecked. */
export const env = z.custom<Record<string, string>>(isEnvironment, "not a map of names to strings");

function isEnvironment(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(
    ([name, setting]: [string, unknown]) =>
      /^[^=\0]+$/.test(name) && typeof setting === "string" && !setting.includes("\0"),
  );
}

/** An object whose fields somebody else defines: tool arguments, JSON Schemas. */
export const jsonObject = z.custom<Record<string, unknown>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "not an object",
);
/** Any JSON value, null included; present all the same. */
export const jsonValue = z.unknown();

export const signature = z.strictObject({
  alg: z.literal("ed25519"),
  key_id: id,
  /** Whether it is base64, canonical and right is the verifier's to say. */
  sig: z.string().min(1).max(256),
});
export type Signature = z.infer<typeof signature>;

/** An object of ours: it may get fields later, which are kept and signed. */
export const binding = z.looseObject({ room_id: id, type: id, sender: id, device_id: id });

/** What every signed content of ours ends with. Absent ones are for the pipeline to answer, by reason. */
export const signed = {
  binding: z.exactOptional(binding),
  signature: z.exactOptional(signature),
};

/** Which device of the requester gets chunks and results to-device. */
export const reply = z.looseObject({ device_id: id });

export const load = z.strictObject({ running_invocations: count, max_invocations: count });

export const streamName = z.enum(["stdin", "stdout", "stderr", "pty", "control"]);
export type StreamName = z.infer<typeof streamName>;

export const mxcUri = z
  .string()
  .max(1024)
  .regex(/^mxc:\/\/[^/\s]+\/[^/\s]+$/, "not an mxc URI");

/** Matrix EncryptedFile (Client-Server API, "Sending encrypted attachments"). */
export const encryptedFile = z.looseObject({
  url: mxcUri,
  key: z.looseObject({
    kty: z.literal("oct"),
    alg: z.literal("A256CTR"),
    k: z.string(),
    ext: z.literal(true),
  }),
  iv: z.string(),
  hashes: z.looseObject({ sha256: z.string() }),
  v: z.literal("v2"),
});
