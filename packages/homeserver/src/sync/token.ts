import { invalidParam } from "../http/errors.ts";

/**
 * A place in the stream, as clients see it. All up to and including `pos` is known to them; to-device
 * messages up to `toDevice` (they come at most 100 at a time and so may lag behind).
 */
export interface Token {
  readonly pos: number;
  readonly toDevice: number;
}

export function formatToken(token: Token): string {
  return `s${token.pos}_${token.toDevice}`;
}

/** A token that marks a place in a room's timeline. */
export function pageToken(pos: number): string {
  return `s${pos}_${pos}`;
}

/** Parses either; a place beyond `last` was never handed out here (M_INVALID_PARAM). */
export function parseToken(text: string, last: number): Token {
  const match = /^s(\d{1,15})_(\d{1,15})$/.exec(text);
  const token = { pos: Number(match?.[1]), toDevice: Number(match?.[2]) };
  if (match === null || token.pos > last || token.toDevice > last) {
    throw invalidParam("that is not a position of this homeserver");
  }
  return token;
}
