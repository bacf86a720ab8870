/**
 * What the rest of the daemon sees of Matrix. Everything that arrives goes through the durable inbox and
 * everything that leaves goes through the durable outbox, so that this file is the whole surface.
 */

import type { MxError } from "@mx-agent/base";
import type { Keys } from "./keys/keys.ts";
import type { Media } from "./media.ts";

/** How an event reached us, as far as the transport can vouch for it. */
export type Transport =
  | { encrypted: false }
  | {
      encrypted: true;
      /** The device whose identity key encrypted it; null where it is not known. */
      device_id: string | null;
      /**
       * The sender owns the device, and no shield is red, AUTHENTICITY_NOT_GUARANTEED or UNKNOWN_DEVICE; that a
       * device is not cross-signed (UNSIGNED_DEVICE, red to the SDK) is a matter of `verified` alone.
       */
      authentic: boolean;
      /** The device is verified (cross-signed by an identity that we verified, or by hand). */
      verified: boolean;
    };

/** One event as it was first sent: an edit never changes it. `content` is unparsed. */
export interface IncomingEvent {
  kind: "timeline" | "to_device";
  /** Order of arrival in the inbox, never reused; 0 for what is not stored (stream messages, pings). */
  inbox_id: number;
  room_id: string | null;
  /** null for to-device messages. */
  event_id: string | null;
  sender: string;
  type: string;
  /** Absent from to-device and message events. */
  state_key?: string;
  content: unknown;
  origin_server_ts: number | null;
  /** Whether it came through the back-fill of a gap. */
  backfilled: boolean;
  transport: Transport;
  /** When we first stored it, milliseconds since the epoch. */
  received_ts: number;
}

/** Something to be sent until the homeserver confirms it, over restarts, in order for each lane. */
export type Outgoing =
  | { kind: "event"; room_id: string; type: string; content: object }
  | { kind: "state"; room_id: string; type: string; state_key: string; content: object }
  | {
      kind: "to_device";
      /** The invocation's room: where it is encrypted, the message is Olm-encrypted to the device. */
      room_id: string;
      user_id: string;
      device_id: string;
      type: string;
      content: object;
    };

export interface Outbox {
  /** Stores it durably (joins the caller's transaction) and sends it when that is committed. */
  enqueue(outgoing: Outgoing, options?: OutboxOptions): void;
  /**
   * Tells of each stored message that is refused for good, also of one that an earlier session left. The listener joins
   * the transaction that drops it.
   */
  onRefused(listener: RefusedListener): void;
  /** Messages that are not confirmed yet. */
  depth(): number;
  /** Resolves when everything up to now is confirmed. MX_HOMESERVER_UNREACHABLE where that takes too long. */
  drained(): Promise<void>;
}

export type RefusedListener = (outgoing: Outgoing, error: MxError) => void;

export interface OutboxOptions {
  /** Replaces an unsent message of the same key instead of queueing behind it (agent states). */
  replace_key?: string;
  /** Not stored over a restart: streams, whose spool can be asked again. Resolves through `onSent`. */
  volatile?: boolean;
  onSent?: (outcome: { ok: true; event_id: string | null } | { ok: false; error: unknown }) => void;
}

export interface RoomInfo {
  room_id: string;
  name: string | null;
  alias: string | null;
  membership: "join" | "invite" | "leave";
  /** Remembered for ever once seen. */
  encrypted: boolean;
  inviter: string | null;
}

export interface RoomMember {
  user_id: string;
  membership: "join" | "invite" | "leave" | "ban" | "knock";
  display_name: string | null;
  power_level: number;
}

export interface StateEvent {
  event_id: string;
  sender: string;
  type: string;
  state_key: string;
  content: unknown;
  origin_server_ts: number;
}

/** Current state of the rooms that we are in, as the last committed sync left it. */
export interface Rooms {
  list(): RoomInfo[];
  get(room_id: string): RoomInfo | undefined;
  /** Resolves an id, an alias or an unambiguous name of a room that we know. MX_NOT_FOUND otherwise. */
  resolve(name: string): Promise<RoomInfo>;
  members(room_id: string): Promise<RoomMember[]>;
  /** Whether the user is joined now. */
  isJoined(room_id: string, user_id: string): boolean;
  state(room_id: string, type: string): StateEvent[];
  stateEvent(room_id: string, type: string, state_key: string): StateEvent | undefined;
}

export interface CreateRoom {
  name: string;
  alias: string | null;
  invite: string[];
  encrypted: boolean;
  initial_state: { type: string; state_key: string; content: object }[];
  power_level_content_override: object;
}

export interface Account {
  user_id: string;
  device_id: string;
  homeserver: string;
}

export type SyncHealth =
  | { state: "healthy" }
  | { state: "degraded"; detail: string }
  | { state: "rate_limited"; retry_in_ms: number }
  | { state: "stopped"; detail: string }
  | { state: "logged_out"; detail: string };

/** One logged-in session with a homeserver; ended by `close`. */
export interface MatrixSession {
  readonly account: Account;
  readonly rooms: Rooms;
  readonly outbox: Outbox;
  readonly media: Media;
  readonly keys: Keys;
  /** `notes`: one line for each thing that went wrong for good, such as a gap too long to be filled. */
  health(): SyncHealth & { last_sync_ts: number | null; notes: string[] };
  /** Asks who we are, which renews an access token that ran out; false when the homeserver did not say. */
  renew(): Promise<boolean>;
  /** Encrypted events that can't be decrypted yet; they are kept and tried again when keys come. */
  undecryptable(): number;
  /** Resolves when the first sync is committed and our keys are published; nothing can be sent before. */
  ready(): Promise<void>;
  createRoom(options: CreateRoom): Promise<string>;
  join(room: string, via: string[]): Promise<string>;
  invite(room_id: string, user_id: string): Promise<void>;
  /** Takes a member, or an invitation, out of the room. */
  remove(room_id: string, user_id: string): Promise<void>;
  leave(room_id: string): Promise<void>;
  setPowerLevel(room_id: string, user_id: string, level: number): Promise<void>;
  /**
   * Sends a to-device message as it is, to one device or (`*`) all of a user's: for what is sealed by itself, to
   * people with whom there is no common room yet. Resolves when the homeserver has it.
   */
  sendSealed(user_id: string, device_id: string, type: string, content: object): Promise<void>;
  setState(room_id: string, type: string, state_key: string, content: object): Promise<string>;
  /** Resolves when a sync was committed, or after `timeout_ms`; rejects when the session ends. */
  changed(timeout_ms: number): Promise<void>;
  /** Milliseconds by which the server's clock (Date header) is ahead of ours; null when it is not known. */
  clockSkew(): number | null;
  close(): Promise<void>;
}

/**
 * Called for one event after another, in order, after they are committed. When it resolves the event is
 * marked as done; when it throws, or the process ends before, the event comes again.
 */
export type InboxListener = (event: IncomingEvent) => Promise<void>;

/** As `InboxListener`, for events that are taken together: all of them, or it throws and none was. */
export type GroupListener = (events: readonly IncomingEvent[]) => Promise<void>;
