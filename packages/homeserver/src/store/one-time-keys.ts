import type { Database } from "./database.ts";

export interface OneTimeKey {
  readonly algorithm: string;
  readonly keyId: string;
  /** As JSON. */
  readonly key: string;
}

/** How many of a device's keys that were handed out are remembered: far more than a client has uploaded at a time. */
const CLAIMED_KEPT = 1_000;

/** One-time keys until they are handed out, and after that their ids, so that none goes to two people. */
export class OneTimeKeyStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The key that waits under that id. */
  waiting(userId: string, deviceId: string, algorithm: string, keyId: string): string | undefined {
    return this.#key("one_time_keys", userId, deviceId, algorithm, keyId);
  }

  /** The key that was handed out under that id, if that is not long ago. */
  claimed(userId: string, deviceId: string, algorithm: string, keyId: string): string | undefined {
    return this.#key("claimed_one_time_keys", userId, deviceId, algorithm, keyId);
  }

  /** Adds the keys of one upload; they go out after those of earlier ones. */
  add(userId: string, deviceId: string, keys: readonly OneTimeKey[]): void {
    if (keys.length === 0) return;
    const sql = "SELECT MAX(added) AS last FROM one_time_keys WHERE user_id = ? AND device_id = ?";
    const added = (this.#db.get<{ last: number | null }>(sql, userId, deviceId)?.last ?? 0) + 1;
    for (const { algorithm, keyId, key } of keys)
      this.#db.run(
        "INSERT INTO one_time_keys VALUES (?, ?, ?, ?, ?, ?)",
        userId,
        deviceId,
        algorithm,
        keyId,
        key,
        added,
      );
  }

  /** Takes the key that has waited longest: nobody else gets it, now or after it is uploaded again. */
  take(userId: string, deviceId: string, algorithm: string): OneTimeKey | undefined {
    const taken = this.#db.get<{ key_id: string; key: string }>(
      `DELETE FROM one_time_keys WHERE user_id = ?1 AND device_id = ?2 AND algorithm = ?3 AND key_id =
       (SELECT key_id FROM one_time_keys WHERE user_id = ?1 AND device_id = ?2 AND algorithm = ?3
        ORDER BY added, key_id LIMIT 1) RETURNING key_id, key`,
      userId,
      deviceId,
      algorithm,
    );
    if (taken === undefined) return undefined;
    const sql = "SELECT MAX(seq) AS last FROM claimed_one_time_keys WHERE user_id = ? AND device_id = ?";
    const seq = (this.#db.get<{ last: number | null }>(sql, userId, deviceId)?.last ?? 0) + 1;
    this.#db.run(
      `INSERT INTO claimed_one_time_keys VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET key = excluded.key, seq = excluded.seq`,
      userId,
      deviceId,
      algorithm,
      taken.key_id,
      taken.key,
      seq,
    );
    this.#db.run(
      "DELETE FROM claimed_one_time_keys WHERE user_id = ? AND device_id = ? AND seq <= ?",
      userId,
      deviceId,
      seq - CLAIMED_KEPT,
    );
    return { algorithm, keyId: taken.key_id, key: taken.key };
  }

  count(userId: string, deviceId: string): { algorithm: string; n: number }[] {
    return this.#db.all(
      "SELECT algorithm, COUNT(*) AS n FROM one_time_keys WHERE user_id = ? AND device_id = ? GROUP BY algorithm",
      userId,
      deviceId,
    );
  }

  deleteDevice(userId: string, deviceId: string): void {
    for (const table of ["one_time_keys", "claimed_one_time_keys"])
      this.#db.run(`DELETE FROM ${table} WHERE user_id = ? AND device_id = ?`, userId, deviceId);
  }

  #key(table: string, ...id: [string, string, string, string]): string | undefined {
    return this.#db.get<{ key: string }>(
      `SELECT key FROM ${table} WHERE user_id = ? AND device_id = ? AND algorithm = ? AND key_id = ?`,
      ...id,
    )?.key;
  }
}
