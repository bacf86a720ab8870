import type { Database } from "./database.ts";

export interface BackupVersionRow {
  version: number;
  algorithm: string;
  auth_data: string;
  etag: number;
}

export interface BackupKeyRow {
  room_id: string;
  session_id: string;
  data: string;
}

/** Encrypted room keys that clients put aside (Client-Server API, "Server-side key backups"). */
export class BackupStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** One version, or the current one. */
  version(userId: string, version?: number): BackupVersionRow | undefined {
    return version === undefined
      ? this.#db.get<BackupVersionRow>(
          `SELECT version, algorithm, auth_data, etag FROM backup_versions
           WHERE user_id = ? AND deleted = 0 ORDER BY version DESC LIMIT 1`,
          userId,
        )
      : this.#db.get<BackupVersionRow>(
          `SELECT version, algorithm, auth_data, etag FROM backup_versions
           WHERE user_id = ? AND version = ? AND deleted = 0`,
          userId,
          version,
        );
  }

  /** Makes a version; numbers of deleted ones never come back. */
  create(userId: string, algorithm: string, authData: string): number {
    const last = this.#db.get<{ version: number | null }>(
      "SELECT MAX(version) AS version FROM backup_versions WHERE user_id = ?",
      userId,
    );
    const version = (last?.version ?? 0) + 1;
    this.#db.run(
      "INSERT INTO backup_versions (user_id, version, algorithm, auth_data) VALUES (?, ?, ?, ?)",
      userId,
      version,
      algorithm,
      authData,
    );
    return version;
  }

  setAuthData(userId: string, version: number, authData: string): void {
    this.#db.run(
      "UPDATE backup_versions SET auth_data = ? WHERE user_id = ? AND version = ?",
      authData,
      userId,
      version,
    );
  }

  delete(userId: string, version: number): void {
    this.#db.run("UPDATE backup_versions SET deleted = 1 WHERE user_id = ? AND version = ?", userId, version);
    this.#db.run("DELETE FROM backup_keys WHERE user_id = ? AND version = ?", userId, version);
  }

  touch(userId: string, version: number): void {
    this.#db.run(
      "UPDATE backup_versions SET etag = etag + 1 WHERE user_id = ? AND version = ?",
      userId,
      version,
    );
  }

  count(userId: string, version: number): number {
    return (
      this.#db.get<{ n: number }>(
        "SELECT COUNT(*) AS n FROM backup_keys WHERE user_id = ? AND version = ?",
        userId,
        version,
      )?.n ?? 0
    );
  }

  key(userId: string, version: number, roomId: string, sessionId: string): string | undefined {
    return this.#db.get<{ data: string }>(
      "SELECT data FROM backup_keys WHERE user_id = ? AND version = ? AND room_id = ? AND session_id = ?",
      userId,
      version,
      roomId,
      sessionId,
    )?.data;
  }

  setKey(userId: string, version: number, roomId: string, sessionId: string, data: string): void {
    this.#db.run(
      "INSERT INTO backup_keys VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
      userId,
      version,
      roomId,
      sessionId,
      data,
    );
  }

  keys(userId: string, version: number, roomId?: string): BackupKeyRow[] {
    return roomId === undefined
      ? this.#db.all<BackupKeyRow>(
          "SELECT room_id, session_id, data FROM backup_keys WHERE user_id = ? AND version = ?",
          userId,
          version,
        )
      : this.#db.all<BackupKeyRow>(
          "SELECT room_id, session_id, data FROM backup_keys WHERE user_id = ? AND version = ? AND room_id = ?",
          userId,
          version,
          roomId,
        );
  }

  /** Deletes one session, one room's, or all; answers with how many there were. */
  deleteKeys(userId: string, version: number, roomId?: string, sessionId?: string): number {
    const base = "DELETE FROM backup_keys WHERE user_id = ? AND version = ?";
    if (roomId === undefined) return this.#db.run(base, userId, version);
    if (sessionId === undefined) return this.#db.run(`${base} AND room_id = ?`, userId, version, roomId);
    return this.#db.run(`${base} AND room_id = ? AND session_id = ?`, userId, version, roomId, sessionId);
  }
}
