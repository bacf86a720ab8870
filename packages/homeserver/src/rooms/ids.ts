import { randomBytes } from "node:crypto";

const MAX_ID_BYTES = 255;

/** A user id of any server, as the grammar of the specification's appendices has it (historical ones too). */
export function isUserId(text: string): boolean {
  return /^@[\x21-\x39\x3b-\x7e]*:[A-Za-z0-9.\-:[\]]+$/.test(text) && Buffer.byteLength(text) <= MAX_ID_BYTES;
}

/** The local part that a new account may have: lower case, the grammar of "User identifiers". */
export function isLocalpart(text: string): boolean {
  return /^[a-z0-9._=/+-]+$/.test(text);
}

export function isRoomAlias(text: string): boolean {
  return /^#[^\0:]*:[A-Za-z0-9.\-:[\]]+$/.test(text) && Buffer.byteLength(text) <= MAX_ID_BYTES;
}

/** The server's part of an id: what stands after the first colon. */
export function serverOf(id: string): string {
  const colon = id.indexOf(":");
  return colon < 0 ? "" : id.slice(colon + 1);
}

export function newRoomId(serverName: string): string {
  return `!${letters(18)}:${serverName}`;
}

/**
 * An event id in the form of room version 4 and later. There it is the event's reference hash, which
 * other servers check; without federation it need only be unique and not to be guessed.
 */
export function newEventId(): string {
  return `$${randomBytes(32).toString("base64url")}`;
}

export function newDeviceId(): string {
  return letters(10).toUpperCase();
}

/** Random letters; each carries at least 4 bits. */
export function letters(count: number): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
  return Array.from(randomBytes(count), (byte) => alphabet[byte & 31]).join("");
}
