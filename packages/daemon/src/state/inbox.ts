import { integer, integerOrNull, text, textOrNull } from "./columns.ts";
import type { Database } from "./database.ts";

export const inboxSchema = `
CREATE TABLE inbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL CHECK (kind IN ('timeline', 'to_device')),
  room_id TEXT, event_id TEXT, sender TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT,
  content TEXT NOT NULL, origin_server_ts INTEGER, backfilled INTEGER NOT NULL,
  transport TEXT, received_ts INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL CHECK (status IN ('pending', 'undecryptable', 'set_aside'))
) STRICT;
CREATE INDEX inbox_by_status ON inbox (status, id);
CREATE TABLE seen_events (event_id TEXT PRIMARY KEY, seen_ts INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX seen_events_by_age ON seen_events (seen_ts);
`;

/** pending: to be delivered. undecryptable: waits for keys. set_aside: failed too often, kept for a person. */
export type InboxStatus = "pending" | "undecryptable" | "set_aside";

/** An event as it arrived. `transport` is JSON; null says that `content` is still to be decrypted. */
export interface InboxRow {
  id: number;
  kind: "timeline" | "to_device";
  room_id: string | null;
  event_id: string | null;
  sender: string;
  type: string;
  state_key: string | null;
  content: string;
  origin_server_ts: number | null;
  backfilled: boolean;
  transport: string | null;
  received_ts: number;
  attempts: number;
}

export type NewInboxRow = Omit<InboxRow, "id" | "attempts">;

/** How long an event id is remembered, so that the event comes once. */
export const SEEN_FOR_MS = 30 * 24 * 3_600_000;
/** An event that ended the process this often is set aside, or it would end it for ever. */
export const MAX_ATTEMPTS = 5;
/** Event ids that are remembered; the oldest go first. */
const MAX_SEEN = 200_000;
/** Undecryptable and set-aside events, each; the oldest go first. */
const MAX_KEPT = 10_000;

/** What arrived and is not done yet. Every method joins the caller's transaction. */
export class InboxTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Stores an event, unless its id was seen before; answers whether it did. */
  add(row: NewInboxRow): boolean {
    if (row.event_id !== null && !this.markSeen(row.event_id, row.received_ts)) return false;
    this.#db.run(
      `INSERT INTO inbox (kind, room_id, event_id, sender, type, state_key, content, origin_server_ts,
         backfilled, transport, received_ts, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')`,
      row.kind,
      row.room_id,
      row.event_id,
      row.sender,
      row.type,
      row.state_key,
      row.content,
      row.origin_server_ts,
      row.backfilled ? 1 : 0,
      row.transport,
      row.received_ts,
    );
    return true;
  }

  /** Remembers an event id; false when it was remembered already. */
  markSeen(event_id: string, now: number): boolean {
    return this.#db.run("INSERT OR IGNORE INTO seen_events VALUES (?, ?)", event_id, now).changes > 0;
  }

  /** The oldest event of that status with an id above `after`. */
  next(status: InboxStatus, after = 0): InboxRow | undefined {
    const row = this.#db.get(
      "SELECT * FROM inbox WHERE status = ? AND id > ? ORDER BY id LIMIT 1",
      status,
      after,
    );
    return row && read(row);
  }

  /** The ids of the oldest of that status, at most so many. */
  oldest(status: InboxStatus, limit: number): number[] {
    return this.#db
      .all("SELECT id FROM inbox WHERE status = ? ORDER BY id LIMIT ?", status, limit)
      .map((row) => integer(row, "id"));
  }

  count(status: InboxStatus): number {
    return integer(this.#db.get("SELECT count(*) AS n FROM inbox WHERE status = ?", status) ?? {}, "n");
  }

  done(...ids: number[]): void {
    this.#db.passingTransaction(() => {
      for (const id of ids) this.#db.run("DELETE FROM inbox WHERE id = ?", id);
    });
  }

  setStatus(id: number, status: InboxStatus): void {
    this.#db.run("UPDATE inbox SET status = ? WHERE id = ?", status, id);
  }

  /** Counts a delivery that did not end well; answers how many there were. */
  countAttempt(id: number): number {
    const row = this.#db.get("UPDATE inbox SET attempts = attempts + 1 WHERE id = ? RETURNING attempts", id);
    return row ? integer(row, "attempts") : 0;
  }

  clear(): void {
    this.#db.run("DELETE FROM inbox");
  }

  prune(now: number): void {
    this.#db.run("DELETE FROM seen_events WHERE seen_ts < ?", now - SEEN_FOR_MS);
    this.#db.run(
      `DELETE FROM seen_events WHERE seen_ts < (
         SELECT seen_ts FROM seen_events ORDER BY seen_ts DESC LIMIT 1 OFFSET ?)`,
      MAX_SEEN,
    );
    for (const status of ["undecryptable", "set_aside"]) {
      this.#db.run(
        `DELETE FROM inbox WHERE status = ?1 AND id <= (
           SELECT id FROM inbox WHERE status = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`,
        status,
        MAX_KEPT,
      );
    }
  }
}

function read(row: Record<string, unknown>): InboxRow {
  return {
    id: integer(row, "id"),
    kind: text(row, "kind") === "to_device" ? "to_device" : "timeline",
    room_id: textOrNull(row, "room_id"),
    event_id: textOrNull(row, "event_id"),
    sender: text(row, "sender"),
    type: text(row, "type"),
    state_key: textOrNull(row, "state_key"),
    content: text(row, "content"),
    origin_server_ts: integerOrNull(row, "origin_server_ts"),
    backfilled: integer(row, "backfilled") === 1,
    transport: textOrNull(row, "transport"),
    received_ts: integer(row, "received_ts"),
    attempts: integer(row, "attempts"),
  };
}
