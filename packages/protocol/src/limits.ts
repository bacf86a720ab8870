/** The numbers of the protocol. Bytes and milliseconds, unless the name says otherwise. */

/** Canonical JSON of one event's content, in UTF-8 bytes; what is larger goes through media. */
export const MAX_CONTENT_BYTES = 40 * 1024;
/** Objects and arrays inside of each other; nothing that we read needs a tenth of it. */
export const MAX_JSON_DEPTH = 64;
/** Characters of an id that arrived, and of an agent id that we make. */
export const MAX_ID_LENGTH = 255;
export const MAX_AGENT_ID_LENGTH = 128;
export const MAX_NONCE_LENGTH = 256;

/** `expires_at` is at most this long after `created_at`. */
export const MAX_REQUEST_LIFETIME_MS = 10 * 60_000;
/** A request made more than this in the receiver's future is refused. */
export const MAX_CLOCK_SKEW_MS = 2 * 60_000;

/** A moving stream is acknowledged after this many bytes, or this long, whichever comes first. */
export const STREAM_ACK_BYTES = 256 * 1024;
export const STREAM_ACK_INTERVAL_MS = 5_000;
/** Without an acknowledgement for so long a sender stops sending and goes on spooling. */
export const STREAM_STALL_MS = 60_000;
/** So many bytes a sender has under way at most, whatever window its receiver opens. */
export const STREAM_MAX_WINDOW_BYTES = 4 * 1024 * 1024;
/** How long missing output is asked for before it is an error, of a side that is there. */
export const STREAM_RESUME_MS = 30_000;

/** A refusal before the signature was verified is answered once per sender in this time … */
export const REFUSAL_INTERVAL_MS = 60_000;
/** … and so often per room and hour in all. */
export const REFUSALS_PER_ROOM_AND_HOUR = 6;
/** A trusted key's pings are answered once in this time. */
export const PING_ANSWER_INTERVAL_MS = 1_000;
/** A reader waits so long for a pong. */
export const PING_WAIT_MS = 2_000;
/** The agent state is written again after so long. */
export const AGENT_REFRESH_MS = 15 * 60_000;
/** Seen within this time: `active`. */
export const ACTIVE_WITHIN_MS = 90_000;
/** `stale` until this long past the expected refresh, `offline` after it. */
export const STALE_WITHIN_MS = 300_000;
