import { integer, text } from "./columns.ts";
import type { Database } from "./database.ts";

/** Format 2. */
export const peerHeadsSchema = `
CREATE TABLE peer_heads (
  room_id TEXT NOT NULL, agent_id TEXT NOT NULL, key_id TEXT NOT NULL,
  seq INTEGER NOT NULL, sha256 TEXT NOT NULL, published_ts INTEGER NOT NULL, seen_ts INTEGER NOT NULL,
  PRIMARY KEY (room_id, agent_id, key_id, seq, sha256)
) STRICT;
`;

/** Of one agent; at one every 15 minutes that is more than a week. */
const MAX_HEADS = 1_000;

/** A head of another daemon's audit log, as its signed agent state published it. */
export interface PeerHead {
  room_id: string;
  agent_id: string;
  key_id: string;
  /** Number and SHA-256 (base64) of the line that its checkpoint signed. */
  seq: number;
  sha256: string;
  /** When it was last published, by the other's clock, and when it was first seen here; milliseconds since the epoch. */
  published_ts: number;
  seen_ts: number;
}

/** What other daemons published of their audit logs, so that a cut or a rewrite is found by somebody else. */
export class PeerHeads {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Oldest first; of a room and an agent, or of all. */
  list(room_id: string | null = null, agent_id: string | null = null): PeerHead[] {
    return this.#db
      .all(
        `SELECT * FROM peer_heads WHERE (?1 IS NULL OR room_id = ?1) AND (?2 IS NULL OR agent_id = ?2)
         ORDER BY room_id, agent_id, published_ts, seq`,
        room_id,
        agent_id,
      )
      .map((row) => ({
        room_id: text(row, "room_id"),
        agent_id: text(row, "agent_id"),
        key_id: text(row, "key_id"),
        seq: integer(row, "seq"),
        sha256: text(row, "sha256"),
        published_ts: integer(row, "published_ts"),
        seen_ts: integer(row, "seen_ts"),
      }));
  }

  remember(head: PeerHead): void {
    const { room_id, agent_id, key_id, seq, sha256, published_ts, seen_ts } = head;
    this.#db.run(
      `INSERT INTO peer_heads VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET published_ts = max(published_ts, excluded.published_ts)`,
      ...[room_id, agent_id, key_id, seq, sha256, published_ts, seen_ts],
    );
    this.#db.run(
      `DELETE FROM peer_heads WHERE room_id = ?1 AND agent_id = ?2 AND rowid NOT IN
         (SELECT rowid FROM peer_heads WHERE room_id = ?1 AND agent_id = ?2 ORDER BY published_ts DESC LIMIT ?3)`,
      ...[room_id, agent_id, MAX_HEADS],
    );
  }
}
