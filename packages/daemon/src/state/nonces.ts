import { integer } from "./columns.ts";
import type { Database } from "./database.ts";

export const noncesSchema = `
CREATE TABLE nonces (
  key_id TEXT NOT NULL, nonce TEXT NOT NULL, expires_ts INTEGER NOT NULL,
  PRIMARY KEY (key_id, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_expiry ON nonces (expires_ts);
`;

/** How many unexpired nonces of one key are remembered; more is over_capacity, for that key alone. */
export const MAX_NONCES_PER_KEY = 20_000;

/** A control message's nonce is remembered for a day; the run that it names is over by then. */
const CONTROL_LIFETIME_MS = 24 * 3_600_000;

/** Which nonces each key has used. An unexpired one is never evicted (PROTOCOL.md, "What happens, in order"). */
export class NonceTable {
  readonly #db: Database;
  readonly #limit: number;

  constructor(db: Database, limit = MAX_NONCES_PER_KEY) {
    this.#db = db;
    this.#limit = limit;
  }

  /** Remembers a nonce until it expires; joins the caller's transaction. */
  admit(key_id: string, nonce: string, expires_ts: number, now: number): "fresh" | "replayed" | "full" {
    return this.#admit(key_id, nonce, expires_ts, now, this.#limit);
  }

  #admit(
    key_id: string,
    nonce: string,
    expires_ts: number,
    now: number,
    limit: number,
  ): "fresh" | "replayed" | "full" {
    return this.#db.transaction(() => {
      this.#db.run("DELETE FROM nonces WHERE expires_ts < ?", now);
      if (this.#db.get("SELECT 1 AS hit FROM nonces WHERE key_id = ? AND nonce = ?", key_id, nonce))
        return "replayed";
      const row = this.#db.get("SELECT count(*) AS n FROM nonces WHERE key_id = ?", key_id);
      if (row && integer(row, "n") >= limit) return "full";
      this.#db.run("INSERT INTO nonces VALUES (?, ?, ?)", key_id, nonce, expires_ts);
      return "fresh";
    });
  }

  /**
   * As `admit`, for a message about a run that was admitted. There is as much room again for those: who has filled the
   * memory with requests can still feed, ask about and end what he began. Where that is full as well a cancel works
   * all the same, because it names one run and can't end it twice. Input and queries do not: served again, the one
   * would be typed twice, and the other would move a run's output back to an earlier device.
   */
  admitControl(key_id: string, nonce: string, now: number): "fresh" | "replayed" | "full" {
    return this.#admit(key_id, nonce, now + CONTROL_LIFETIME_MS, now, 2 * this.#limit);
  }
}
