import type { Database } from "./database.ts";

export interface UserRow {
  user_id: string;
  password_hash: string | null;
  created_ts: number;
  deactivated: number;
}

export interface DeviceRow {
  user_id: string;
  device_id: string;
  display_name: string | null;
  last_seen_ts: number | null;
  last_seen_ip: string | null;
}

export interface TokenRow {
  user_id: string;
  device_id: string;
  expires_ts: number | null;
  /** The refresh token that it was had for, until it is used for the first time. */
  replaces: string | null;
}

export interface RefreshRow {
  user_id: string;
  device_id: string;
  superseded: number;
}

export interface RegistrationTokenRow {
  uses_allowed: number | null;
  uses: number;
  expires_ts: number | null;
}

/** Users, devices and tokens. Tokens are known by their SHA-256 alone. */
export class AccountStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The server name that all ids here end in; undefined before the first start. */
  serverName(): string | undefined {
    return this.#db.get<{ value: string }>("SELECT value FROM meta WHERE key = 'server_name'")?.value;
  }

  setServerName(name: string): void {
    this.#db.run("INSERT INTO meta VALUES ('server_name', ?)", name);
  }

  user(userId: string): UserRow | undefined {
    return this.#db.get<UserRow>("SELECT * FROM users WHERE user_id = ?", userId);
  }

  users(): UserRow[] {
    return this.#db.all<UserRow>("SELECT * FROM users ORDER BY user_id");
  }

  /** User ids and display names that contain `term`, at most `limit`. */
  searchUsers(term: string, limit: number): string[] {
    const pattern = `%${term.replace(/[\\%_]/g, "\\$&")}%`;
    return this.#db
      .all<{ user_id: string }>(
        `SELECT user_id FROM users u WHERE deactivated = 0 AND (user_id LIKE ?1 ESCAPE '\\' OR EXISTS (SELECT 1 FROM profiles p
         WHERE p.user_id = u.user_id AND p.key = 'displayname' AND p.value LIKE ?1 ESCAPE '\\')) ORDER BY user_id LIMIT ?2`,
        pattern,
        limit,
      )
      .map((row) => row.user_id);
  }

  createUser(userId: string, passwordHash: string | null, now: number): void {
    this.#db.run(
      "INSERT INTO users (user_id, password_hash, created_ts) VALUES (?, ?, ?)",
      userId,
      passwordHash,
      now,
    );
  }

  setPassword(userId: string, passwordHash: string | null): void {
    this.#db.run("UPDATE users SET password_hash = ? WHERE user_id = ?", passwordHash, userId);
  }

  deactivate(userId: string): void {
    this.#db.run("UPDATE users SET deactivated = 1, password_hash = NULL WHERE user_id = ?", userId);
  }

  device(userId: string, deviceId: string): DeviceRow | undefined {
    return this.#db.get<DeviceRow>(
      "SELECT * FROM devices WHERE user_id = ? AND device_id = ?",
      userId,
      deviceId,
    );
  }

  devices(userId: string): DeviceRow[] {
    return this.#db.all<DeviceRow>("SELECT * FROM devices WHERE user_id = ? ORDER BY device_id", userId);
  }

  /** Makes the device, or keeps it with the name that it has. */
  ensureDevice(userId: string, deviceId: string, displayName: string | undefined): void {
    this.#db.run(
      "INSERT INTO devices (user_id, device_id, display_name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      userId,
      deviceId,
      displayName ?? null,
    );
  }

  renameDevice(userId: string, deviceId: string, displayName: string): void {
    this.#db.run(
      "UPDATE devices SET display_name = ? WHERE user_id = ? AND device_id = ?",
      displayName,
      userId,
      deviceId,
    );
  }

  seen(userId: string, deviceId: string, ts: number, ip: string): void {
    this.#db.run(
      "UPDATE devices SET last_seen_ts = ?, last_seen_ip = ? WHERE user_id = ? AND device_id = ?",
      ts,
      ip,
      userId,
      deviceId,
    );
  }

  /** Ends the device's tokens and forgets it; its keys are the crypto store's to forget. */
  deleteDevice(userId: string, deviceId: string): void {
    this.deleteTokens(userId, deviceId);
    this.#db.run("DELETE FROM devices WHERE user_id = ? AND device_id = ?", userId, deviceId);
    this.#db.run("DELETE FROM transactions WHERE user_id = ? AND device_id = ?", userId, deviceId);
  }

  token(hash: string): TokenRow | undefined {
    return this.#db.get<TokenRow>(
      "SELECT user_id, device_id, expires_ts, replaces FROM access_tokens WHERE hash = ?",
      hash,
    );
  }

  addToken(token: {
    hash: string;
    userId: string;
    deviceId: string;
    expiresTs: number | null;
    replaces: string | null;
  }): void {
    this.#db.run(
      "INSERT INTO access_tokens (hash, user_id, device_id, expires_ts, replaces) VALUES (?, ?, ?, ?, ?)",
      token.hash,
      token.userId,
      token.deviceId,
      token.expiresTs,
      token.replaces,
    );
  }

  /** The first use of a token that was refreshed: the refresh token that it was had for ends. */
  replacePredecessors(hash: string, row: TokenRow): void {
    this.#db.run("UPDATE access_tokens SET replaces = NULL WHERE hash = ?", hash);
    this.deleteSupersededRefreshTokens(row.user_id, row.device_id);
  }

  deleteTokens(userId: string, deviceId: string): void {
    this.#db.run("DELETE FROM access_tokens WHERE user_id = ? AND device_id = ?", userId, deviceId);
    this.#db.run("DELETE FROM refresh_tokens WHERE user_id = ? AND device_id = ?", userId, deviceId);
  }

  refreshToken(hash: string): RefreshRow | undefined {
    return this.#db.get<RefreshRow>(
      "SELECT user_id, device_id, superseded FROM refresh_tokens WHERE hash = ?",
      hash,
    );
  }

  addRefreshToken(hash: string, userId: string, deviceId: string): void {
    this.#db.run(
      "INSERT INTO refresh_tokens (hash, user_id, device_id) VALUES (?, ?, ?)",
      hash,
      userId,
      deviceId,
    );
  }

  supersedeRefreshToken(hash: string): void {
    this.#db.run("UPDATE refresh_tokens SET superseded = 1 WHERE hash = ?", hash);
  }

  /** Forgets refresh tokens whose successor was used. */
  deleteSupersededRefreshTokens(userId: string, deviceId: string): void {
    this.#db.run(
      "DELETE FROM refresh_tokens WHERE user_id = ? AND device_id = ? AND superseded = 1",
      userId,
      deviceId,
    );
  }

  /**
   * Forgets tokens that expired before `ts` and whose successor was used, or that nothing can renew. Another
   * one is that of a client that was away: it is answered as a soft logout for as long as its device lives.
   */
  deleteTokensExpiredBefore(ts: number): void {
    this.#db.run(
      `DELETE FROM access_tokens AS old WHERE expires_ts < ?1 AND (
         NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE user_id = old.user_id AND device_id = old.device_id)
         OR EXISTS (
           SELECT 1 FROM access_tokens AS used WHERE used.user_id = old.user_id
             AND used.device_id = old.device_id AND used.expires_ts > old.expires_ts AND used.replaces IS NULL
         )
       )`,
      ts,
    );
  }

  addLoginToken(hash: string, userId: string, expiresTs: number): void {
    this.#db.run(
      "INSERT INTO login_tokens (hash, user_id, expires_ts) VALUES (?, ?, ?)",
      hash,
      userId,
      expiresTs,
    );
  }

  /** Takes a login token: it works once. Answers with its user, or undefined when unknown or too old. */
  takeLoginToken(hash: string, now: number): string | undefined {
    const row = this.#db.get<{ user_id: string; expires_ts: number }>(
      "SELECT user_id, expires_ts FROM login_tokens WHERE hash = ?",
      hash,
    );
    this.#db.run("DELETE FROM login_tokens WHERE hash = ? OR expires_ts < ?", hash, now);
    return row !== undefined && row.expires_ts > now ? row.user_id : undefined;
  }

  registrationToken(hash: string): RegistrationTokenRow | undefined {
    return this.#db.get<RegistrationTokenRow>(
      "SELECT uses_allowed, uses, expires_ts FROM registration_tokens WHERE hash = ?",
      hash,
    );
  }

  addRegistrationToken(hash: string, usesAllowed: number | null, expiresTs: number | null): void {
    this.#db.run(
      "INSERT INTO registration_tokens (hash, uses_allowed, expires_ts) VALUES (?, ?, ?)",
      hash,
      usesAllowed,
      expiresTs,
    );
  }

  deleteRegistrationToken(hash: string): void {
    this.#db.run("DELETE FROM registration_tokens WHERE hash = ?", hash);
  }

  useRegistrationToken(hash: string): void {
    this.#db.run("UPDATE registration_tokens SET uses = uses + 1 WHERE hash = ?", hash);
  }

  profile(userId: string): Map<string, unknown> {
    const rows = this.#db.all<{ key: string; value: string }>(
      "SELECT key, value FROM profiles WHERE user_id = ?",
      userId,
    );
    return new Map(rows.map((row) => [row.key, JSON.parse(row.value)]));
  }

  setProfile(userId: string, key: string, value: unknown): void {
    this.#db.run(
      "INSERT INTO profiles (user_id, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      userId,
      key,
      JSON.stringify(value),
    );
  }

  deleteProfile(userId: string, key: string | undefined): void {
    if (key === undefined) this.#db.run("DELETE FROM profiles WHERE user_id = ?", userId);
    else this.#db.run("DELETE FROM profiles WHERE user_id = ? AND key = ?", userId, key);
  }
}
