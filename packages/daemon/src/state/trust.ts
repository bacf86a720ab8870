import type { TrustEntry } from "@mx-agent/ipc";
import { text, textOrNull } from "./columns.ts";
import type { Database } from "./database.ts";

export const trustSchema = `
CREATE TABLE trust (
  room_id TEXT NOT NULL, agent_id TEXT NOT NULL, key_id TEXT NOT NULL,
  user_id TEXT NOT NULL, fingerprint TEXT NOT NULL, public_key TEXT NOT NULL, legacy INTEGER NOT NULL,
  approved_at TEXT NOT NULL, expires_at TEXT, revoked_at TEXT,
  PRIMARY KEY (room_id, agent_id, key_id)
) STRICT;
`;

/** Format 2: a key may have been approved because the one before announced it. */
export const trustSuccession = "ALTER TABLE trust ADD COLUMN announced_by TEXT;";

/** The keys that this operator approved: for an agent name, a Matrix user and a room, all three. */
export class TrustTable {
  readonly #db: Database;
  readonly #now: () => number;

  constructor(db: Database, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /**
   * Approves a key; another key that was approved for that agent in that room is revoked with it. Not so where
   * `announced_by` names it: that one counts until the new key is in use (`supersede`).
   */
  approve(entry: Omit<TrustEntry, "status" | "revoked_at">, announced_by: string | null = null): TrustEntry {
    return this.#db.transaction(() => {
      this.#db.run(
        "UPDATE trust SET revoked_at = ? WHERE room_id = ? AND agent_id = ? AND key_id NOT IN (?, ?) AND revoked_at IS NULL",
        entry.approved_at,
        entry.room_id,
        entry.agent_id,
        entry.key_id,
        announced_by ?? entry.key_id,
      );
      this.#db.run(
        `INSERT INTO trust VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)
         ON CONFLICT (room_id, agent_id, key_id) DO UPDATE SET user_id = excluded.user_id, legacy = excluded.legacy,
           approved_at = excluded.approved_at, expires_at = excluded.expires_at, revoked_at = NULL,
           announced_by = excluded.announced_by`,
        entry.room_id,
        entry.agent_id,
        entry.key_id,
        entry.user_id,
        entry.fingerprint,
        entry.public_key,
        entry.legacy ? 1 : 0,
        entry.approved_at,
        entry.expires_at,
        announced_by,
      );
      return { ...entry, status: "trusted", revoked_at: null };
    });
  }

  /** An approved key is in use: the one that announced it no longer counts. Answers that one. */
  supersede(room_id: string, agent_id: string, key_id: string): TrustEntry | undefined {
    const row = this.#db.get(
      "SELECT announced_by FROM trust WHERE room_id = ? AND agent_id = ? AND key_id = ? AND revoked_at IS NULL",
      room_id,
      agent_id,
      key_id,
    );
    const before = row && textOrNull(row, "announced_by");
    const entry = before ? this.find(room_id, agent_id, before) : undefined;
    if (entry?.status !== "trusted") return undefined;
    const { fingerprint } = entry;
    return this.revoke({ room_id, agent_id, fingerprint })[0];
  }

  /** Revokes what matches every part that is given, and answers it. */
  revoke(match: {
    room_id: string | null;
    agent_id: string | null;
    fingerprint: string | null;
  }): TrustEntry[] {
    const at = new Date(this.#now()).toISOString();
    return this.#db.transaction(() => {
      const hit = this.list(match.room_id).filter(
        (entry) =>
          entry.status !== "revoked" &&
          (match.agent_id === null || entry.agent_id === match.agent_id) &&
          (match.fingerprint === null || entry.fingerprint === match.fingerprint),
      );
      for (const entry of hit)
        this.#db.run(
          "UPDATE trust SET revoked_at = ? WHERE room_id = ? AND agent_id = ? AND key_id = ?",
          at,
          entry.room_id,
          entry.agent_id,
          entry.key_id,
        );
      return hit.map((entry) => ({ ...entry, status: "revoked", revoked_at: at }));
    });
  }

  /** Every key ever approved, in a room or in all. */
  list(room_id: string | null): TrustEntry[] {
    return this.#db
      .all(
        "SELECT * FROM trust WHERE ?1 IS NULL OR room_id = ?1 ORDER BY room_id, agent_id, approved_at",
        room_id,
      )
      .map((row) => this.#entry(row));
  }

  /** The entry for that very key, whatever its status. */
  find(room_id: string, agent_id: string, key_id: string): TrustEntry | undefined {
    const row = this.#db.get(
      "SELECT * FROM trust WHERE room_id = ? AND agent_id = ? AND key_id = ?",
      room_id,
      agent_id,
      key_id,
    );
    return row && this.#entry(row);
  }

  /**
   * The one key that is trusted now for an agent name in a room: what `--agent` means. Of a key and its approved
   * successor that is the former, which is revoked once the latter is in use.
   */
  current(room_id: string, agent_id: string): TrustEntry | undefined {
    return this.list(room_id).find((entry) => entry.agent_id === agent_id && entry.status === "trusted");
  }

  /** Trusted entries of a user in a room, for to-device messages that name no agent. */
  ofKey(room_id: string, user_id: string, key_id: string): TrustEntry | undefined {
    return this.list(room_id).find(
      (entry) => entry.user_id === user_id && entry.key_id === key_id && entry.status === "trusted",
    );
  }

  /** Users who had a key there that was revoked, and have none that is trusted: they are to read nothing more. */
  revokedUsers(room_id: string): Set<string> {
    const entries = this.list(room_id);
    const users = (status: TrustEntry["status"]) =>
      new Set(entries.filter((entry) => entry.status === status).map(({ user_id }) => user_id));
    const trusted = users("trusted");
    return new Set([...users("revoked")].filter((user) => !trusted.has(user)));
  }

  #entry(row: Record<string, unknown>): TrustEntry {
    const expires_at = textOrNull(row, "expires_at");
    const revoked_at = textOrNull(row, "revoked_at");
    return {
      room_id: text(row, "room_id"),
      agent_id: text(row, "agent_id"),
      user_id: text(row, "user_id"),
      key_id: text(row, "key_id"),
      fingerprint: text(row, "fingerprint"),
      public_key: text(row, "public_key"),
      status:
        revoked_at !== null
          ? "revoked"
          : expires_at !== null && Date.parse(expires_at) <= this.#now()
            ? "expired"
            : "trusted",
      legacy: row.legacy === 1,
      approved_at: text(row, "approved_at"),
      expires_at,
      revoked_at,
    };
  }
}
