import { randomBytes } from "node:crypto";
import { MAX_AGENT_ID_LENGTH, MAX_ID_LENGTH } from "./limits.ts";

export type IdPrefix = "agt" | "task" | "req" | "inv" | "ctx";

/** Answers `size` random bytes. */
export type Random = (size: number) => Uint8Array;

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ourId = /^(?:agt|task|req|inv|ctx)_[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
/** Letters, marks, digits, punctuation, symbols and the plain space; no controls, formats or surrogates. */
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u;

/**
 * An id of ours: the prefix, `_`, and a ULID (48 bits of `now`, milliseconds since the epoch, then 80
 * random bits, in 26 characters of Crockford base32).
 */
export function newId(prefix: IdPrefix, now: number = Date.now(), random: Random = randomBytes): string {
  let value = BigInt(now) << 80n;
  for (const [index, byte] of random(10).entries()) value |= BigInt(byte) << BigInt(8 * (9 - index));
  let text = "";
  for (let shift = 125n; shift >= 0n; shift -= 5n) text += crockford.charAt(Number((value >> shift) & 31n));
  return `${prefix}_${text}`;
}

/** Whether an id has the form that `newId` makes. Ids that arrive need not have it: see `isId`. */
export function isOurId(value: string): boolean {
  return ourId.test(value);
}

/** An id as it may arrive: opaque, 1 to 255 printable characters. Never name a file or split a key by it. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && isPrintable(value, MAX_ID_LENGTH);
}

/** 22 characters of unpadded base64url from 16 random bytes. */
export function newNonce(random: Random = randomBytes): string {
  return Buffer.from(random(16)).toString("base64url");
}

/** An agent id as we make and accept it from an operator: 1 to 128 printable characters without `/`, `|` and a leading `@`. */
export function isAgentId(value: string): boolean {
  return isPrintable(value, MAX_AGENT_ID_LENGTH) && !/[/|]/.test(value) && !value.startsWith("@");
}

/** The agent id of a machine whose operator chose none: its host name up to the first dot. */
export function defaultAgentId(hostname: string): string {
  const name = (hostname.split(".")[0] ?? "").replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "");
  const id = [...name].slice(0, MAX_AGENT_ID_LENGTH).join("");
  return isAgentId(id) ? id : "agent";
}

function isPrintable(value: string, max: number): boolean {
  // Code units first: they bound the work before anything is iterated.
  return value.length <= 2 * max && printable.test(value) && [...value].length <= max;
}
