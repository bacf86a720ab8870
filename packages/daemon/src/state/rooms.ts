import { integer, text, textOrNull } from "./columns.ts";
import type { Database } from "./database.ts";

export const roomsSchema = `
CREATE TABLE rooms (
  room_id TEXT PRIMARY KEY, membership TEXT NOT NULL CHECK (membership IN ('join', 'invite', 'leave')),
  inviter TEXT
) STRICT;
CREATE TABLE room_state (
  room_id TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT NOT NULL, event_id TEXT NOT NULL,
  sender TEXT NOT NULL, content TEXT NOT NULL, origin_server_ts INTEGER NOT NULL,
  PRIMARY KEY (room_id, type, state_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE encrypted_rooms (
  room_id TEXT PRIMARY KEY, content TEXT NOT NULL, seen_ts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

export type Membership = "join" | "invite" | "leave";

export interface RoomRow {
  room_id: string;
  membership: Membership;
  inviter: string | null;
}

export interface StateRow {
  type: string;
  state_key: string;
  event_id: string;
  sender: string;
  content: unknown;
  origin_server_ts: number;
}

/** The rooms' current state as the last committed sync left it. Every method joins the caller's transaction. */
export class RoomTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  list(): RoomRow[] {
    return this.#db.all("SELECT * FROM rooms ORDER BY room_id").map(readRoom);
  }

  get(room_id: string): RoomRow | undefined {
    const row = this.#db.get("SELECT * FROM rooms WHERE room_id = ?", room_id);
    return row && readRoom(row);
  }

  put(room: RoomRow): void {
    this.#db.run(
      "INSERT OR REPLACE INTO rooms VALUES (?, ?, ?)",
      room.room_id,
      room.membership,
      room.inviter,
    );
  }

  setState(room_id: string, event: StateRow): void {
    this.#db.run(
      "INSERT OR REPLACE INTO room_state VALUES (?, ?, ?, ?, ?, ?, ?)",
      room_id,
      event.type,
      event.state_key,
      event.event_id,
      event.sender,
      JSON.stringify(event.content),
      event.origin_server_ts,
    );
  }

  clearState(room_id: string): void {
    this.#db.run("DELETE FROM room_state WHERE room_id = ?", room_id);
  }

  /** All state of a room, or all of one type. */
  state(room_id: string, type?: string): StateRow[] {
    return this.#db
      .all(
        "SELECT * FROM room_state WHERE room_id = ?1 AND (?2 IS NULL OR type = ?2) ORDER BY type, state_key",
        room_id,
        type ?? null,
      )
      .map(readState);
  }

  stateEvent(room_id: string, type: string, state_key: string): StateRow | undefined {
    const row = this.#db.get(
      "SELECT * FROM room_state WHERE room_id = ? AND type = ? AND state_key = ?",
      room_id,
      type,
      state_key,
    );
    return row && readState(row);
  }

  /** Remembers for ever that a room is encrypted, and how it was at first, whatever its state shows later. */
  rememberEncrypted(room_id: string, content: unknown, now: number): void {
    const json = JSON.stringify(content ?? {});
    this.#db.run("INSERT OR IGNORE INTO encrypted_rooms VALUES (?, ?, ?)", room_id, json, now);
  }

  /** The content of the first `m.room.encryption` event that was seen there. */
  encryption(room_id: string): unknown {
    const row = this.#db.get("SELECT content FROM encrypted_rooms WHERE room_id = ?", room_id);
    return row && JSON.parse(text(row, "content"));
  }

  isEncrypted(room_id: string): boolean {
    return this.#db.get("SELECT 1 AS hit FROM encrypted_rooms WHERE room_id = ?", room_id) !== undefined;
  }

  /** Forgets rooms and state for another account; what is encrypted stays remembered. */
  reset(): void {
    this.#db.run("DELETE FROM rooms");
    this.#db.run("DELETE FROM room_state");
  }
}

function readRoom(row: Record<string, unknown>): RoomRow {
  const membership = text(row, "membership");
  return {
    room_id: text(row, "room_id"),
    membership: membership === "join" || membership === "invite" ? membership : "leave",
    inviter: textOrNull(row, "inviter"),
  };
}

function readState(row: Record<string, unknown>): StateRow {
  return {
    type: text(row, "type"),
    state_key: text(row, "state_key"),
    event_id: text(row, "event_id"),
    sender: text(row, "sender"),
    content: JSON.parse(text(row, "content")),
    origin_server_ts: integer(row, "origin_server_ts"),
  };
}
