/** What the files of this folder share: values of the outside world that are handed in. */

/** As pino's: details first, then the message. */
export interface Logger {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** Milliseconds since the epoch. */
export type Clock = () => number;

export type Fetch = typeof globalThis.fetch;

/** Calls `late` after so many milliseconds, unless what it returns is called before. */
export type Alarm = (ms: number, late: () => void) => () => void;

/** What a login gives, and a session needs. The token is a secret. */
export interface Credentials {
  user_id: string;
  device_id: string;
  access_token: string;
  /** Base URL of the homeserver, without a slash at the end. */
  homeserver: string;
  /** Where its login is an OAuth 2.0 server's: what gets the next access token. */
  oauth?: { client_id: string; refresh_token: string | null };
}

/** What an OAuth 2.0 server gave instead of a token that ran out. */
export interface RenewedTokens {
  access_token: string;
  refresh_token: string | null;
}

/** Event types of ours, in the timeline, in state and to devices. */
export const OUR_TYPES = "com.mxagent.";

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What an error says, with that of its causes: fetch hides the reason one level down. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `: ${describe(error.cause)}`;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return `${error.message || code || error.name}${cause}`;
}
