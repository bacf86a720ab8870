import { integer, text } from "./columns.ts";
import type { Database } from "./database.ts";

export const syncStoreSchema = `
CREATE TABLE sync_position (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  user_id TEXT NOT NULL, device_id TEXT NOT NULL, homeserver TEXT NOT NULL, next_batch TEXT
) STRICT;
CREATE TABLE account_data (type TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT;
CREATE TABLE crypto_stores (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY AUTOINCREMENT, room_id TEXT NOT NULL,
  prev_batch TEXT NOT NULL, since TEXT NOT NULL
) STRICT;
`;

/** Whose position it is. */
export interface SyncOwner {
  user_id: string;
  device_id: string;
  homeserver: string;
}

/** Events between two positions that /sync left out, until /messages has brought them. */
export interface Gap {
  id: number;
  room_id: string;
  /** The newer end: where /messages starts, going backwards. */
  prev_batch: string;
  /** The older end: the position up to which we have everything. */
  since: string;
}

/** How far we have read, what is missing behind that, and account data. Joins the caller's transaction. */
export class SyncTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  owner(): SyncOwner | undefined {
    const row = this.#db.get("SELECT * FROM sync_position");
    return (
      row && {
        user_id: text(row, "user_id"),
        device_id: text(row, "device_id"),
        homeserver: text(row, "homeserver"),
      }
    );
  }

  /** Starts anew for this account; a position is worth nothing to another user or homeserver. */
  reset(owner: SyncOwner): void {
    this.#db.run("DELETE FROM account_data");
    this.#db.run("DELETE FROM gaps");
    this.#db.run(
      "INSERT OR REPLACE INTO sync_position VALUES (1, ?, ?, ?, NULL)",
      owner.user_id,
      owner.device_id,
      owner.homeserver,
    );
  }

  setDevice(device_id: string): void {
    this.#db.run("UPDATE sync_position SET device_id = ?", device_id);
  }

  position(): string | null {
    const row = this.#db.get("SELECT next_batch FROM sync_position");
    return row && row.next_batch !== null ? text(row, "next_batch") : null;
  }

  setPosition(next_batch: string): void {
    this.#db.run("UPDATE sync_position SET next_batch = ?", next_batch);
  }

  /** Whether a crypto store of that name has been made once. */
  hasCryptoStore(name: string): boolean {
    return this.#db.get("SELECT 1 AS hit FROM crypto_stores WHERE name = ?", name) !== undefined;
  }

  setCryptoStore(name: string): void {
    this.#db.run("INSERT OR IGNORE INTO crypto_stores VALUES (?)", name);
  }

  accountData(): { type: string; content: unknown }[] {
    return this.#db
      .all("SELECT * FROM account_data")
      .map((row) => ({ type: text(row, "type"), content: JSON.parse(text(row, "content")) }));
  }

  setAccountData(type: string, content: unknown): void {
    this.#db.run("INSERT OR REPLACE INTO account_data VALUES (?, ?)", type, JSON.stringify(content));
  }

  addGap(gap: Omit<Gap, "id">): void {
    this.#db.run(
      "INSERT INTO gaps (room_id, prev_batch, since) VALUES (?, ?, ?)",
      gap.room_id,
      gap.prev_batch,
      gap.since,
    );
  }

  gaps(): Gap[] {
    return this.#db.all("SELECT * FROM gaps ORDER BY id").map((row) => ({
      id: integer(row, "id"),
      room_id: text(row, "room_id"),
      prev_batch: text(row, "prev_batch"),
      since: text(row, "since"),
    }));
  }

  closeGap(id: number): void {
    this.#db.run("DELETE FROM gaps WHERE id = ?", id);
  }
}
