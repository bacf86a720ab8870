import type { JsonObject } from "../http/json.ts";
import type { Database } from "./database.ts";

export interface SignatureRow {
  signer: string;
  signing_key: string;
  signature: string;
}

export type CrossSigningUsage = "master" | "self_signing" | "user_signing";

/** The public halves of end-to-end encryption. */
export class CryptoStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  deviceKeys(userId: string, deviceId: string): JsonObject | undefined {
    const row = this.#db.get<{ keys: string }>(
      "SELECT keys FROM device_keys WHERE user_id = ? AND device_id = ?",
      userId,
      deviceId,
    );
    return row === undefined ? undefined : (JSON.parse(row.keys) as JsonObject);
  }

  allDeviceKeys(userId: string): { deviceId: string; keys: JsonObject; displayName: string | null }[] {
    return this.#db
      .all<{ device_id: string; keys: string; display_name: string | null }>(
        `SELECT k.device_id, k.keys, d.display_name FROM device_keys k
         LEFT JOIN devices d ON d.user_id = k.user_id AND d.device_id = k.device_id WHERE k.user_id = ? ORDER BY k.device_id`,
        userId,
      )
      .map((row) => ({
        deviceId: row.device_id,
        keys: JSON.parse(row.keys) as JsonObject,
        displayName: row.display_name,
      }));
  }

  setDeviceKeys(userId: string, deviceId: string, keys: JsonObject): void {
    this.#db.run(
      "INSERT INTO device_keys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET keys = excluded.keys",
      userId,
      deviceId,
      JSON.stringify(keys),
    );
  }

  /** Forgets all that belongs to a device that was deleted. */
  deleteDevice(userId: string, deviceId: string): void {
    for (const table of ["device_keys", "fallback_keys"]) {
      this.#db.run(`DELETE FROM ${table} WHERE user_id = ? AND device_id = ?`, userId, deviceId);
    }
    this.#db.run("DELETE FROM key_signatures WHERE target_user = ? AND target_key = ?", userId, deviceId);
  }

  fallbackKey(
    userId: string,
    deviceId: string,
    algorithm: string,
  ): { key_id: string; key: string } | undefined {
    return this.#db.get(
      "SELECT key_id, key FROM fallback_keys WHERE user_id = ? AND device_id = ? AND algorithm = ?",
      userId,
      deviceId,
      algorithm,
    );
  }

  setFallbackKey(userId: string, deviceId: string, algorithm: string, keyId: string, key: string): void {
    this.#db.run(
      `INSERT INTO fallback_keys VALUES (?, ?, ?, ?, ?, 0)
       ON CONFLICT DO UPDATE SET key_id = excluded.key_id, key = excluded.key, used = 0`,
      userId,
      deviceId,
      algorithm,
      keyId,
      key,
    );
  }

  useFallbackKey(userId: string, deviceId: string, algorithm: string): void {
    this.#db.run(
      "UPDATE fallback_keys SET used = 1 WHERE user_id = ? AND device_id = ? AND algorithm = ?",
      userId,
      deviceId,
      algorithm,
    );
  }

  unusedFallbackTypes(userId: string, deviceId: string): string[] {
    return this.#db
      .all<{ algorithm: string }>(
        "SELECT algorithm FROM fallback_keys WHERE user_id = ? AND device_id = ? AND used = 0 ORDER BY algorithm",
        userId,
        deviceId,
      )
      .map((row) => row.algorithm);
  }

  crossSigningKey(userId: string, usage: CrossSigningUsage): JsonObject | undefined {
    const row = this.#db.get<{ keys: string }>(
      "SELECT keys FROM cross_signing_keys WHERE user_id = ? AND usage = ?",
      userId,
      usage,
    );
    return row === undefined ? undefined : (JSON.parse(row.keys) as JsonObject);
  }

  setCrossSigningKey(userId: string, usage: CrossSigningUsage, keys: JsonObject): void {
    this.#db.run(
      "INSERT INTO cross_signing_keys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET keys = excluded.keys",
      userId,
      usage,
      JSON.stringify(keys),
    );
  }

  addSignature(
    targetUser: string,
    targetKey: string,
    signer: string,
    signingKey: string,
    signature: string,
  ): void {
    this.#db.run(
      `INSERT INTO key_signatures VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET signature = excluded.signature`,
      targetUser,
      targetKey,
      signer,
      signingKey,
      signature,
    );
  }

  signatures(targetUser: string, targetKey: string): SignatureRow[] {
    return this.#db.all<SignatureRow>(
      "SELECT signer, signing_key, signature FROM key_signatures WHERE target_user = ? AND target_key = ?",
      targetUser,
      targetKey,
    );
  }

  /** A key that was replaced takes the signatures on the old one with it. */
  deleteSignatures(targetUser: string, targetKey: string): void {
    this.#db.run(
      "DELETE FROM key_signatures WHERE target_user = ? AND target_key = ?",
      targetUser,
      targetKey,
    );
  }

  deviceListChanged(userId: string, pos: number): void {
    this.#db.run(
      "INSERT INTO device_list_changes VALUES (?, ?) ON CONFLICT DO UPDATE SET pos = excluded.pos",
      userId,
      pos,
    );
  }

  deviceListChanges(after: number, upTo: number): string[] {
    return this.#db
      .all<{ user_id: string }>(
        "SELECT user_id FROM device_list_changes WHERE pos > ? AND pos <= ?",
        after,
        upTo,
      )
      .map((row) => row.user_id);
  }
}
