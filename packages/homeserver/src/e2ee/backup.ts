import type { App } from "../app.ts";
import { badJson, invalidParam, MatrixError, notFound } from "../http/errors.ts";
import { isObject, type JsonObject, object, string } from "../http/json.ts";
import type { BackupVersionRow } from "../store/backup.ts";

/** One session's key as a client puts it aside ("KeyBackupData"). */
interface KeyData {
  readonly first_message_index: number;
  readonly forwarded_count: number;
  readonly is_verified: boolean;
  readonly session_data: JsonObject;
}

export interface SessionKey {
  readonly roomId: string;
  readonly sessionId: string;
  readonly data: KeyData;
}

/** Parses one session's key (M_BAD_JSON). */
export function parseKeyData(value: unknown): KeyData {
  if (!isObject(value)) throw badJson("the data of a session must be an object");
  const { first_message_index, forwarded_count, is_verified, session_data } = value;
  if (!Number.isSafeInteger(first_message_index) || !Number.isSafeInteger(forwarded_count)) {
    throw badJson("first_message_index and forwarded_count must be integers");
  }
  if (typeof is_verified !== "boolean") throw badJson("is_verified must be true or false");
  if (!isObject(session_data)) throw badJson("session_data must be an object");
  return { ...value, first_message_index, forwarded_count, is_verified, session_data } as KeyData;
}

/** Parses `{sessions: {id: data}}` of one room. */
export function parseRoomKeys(roomId: string, body: JsonObject): SessionKey[] {
  return Object.entries(object(body, "sessions")).map(([sessionId, data]) => ({
    roomId,
    sessionId,
    data: parseKeyData(data),
  }));
}

/** Parses `{rooms: {id: {sessions}}}`. */
export function parseAllKeys(body: JsonObject): SessionKey[] {
  return Object.entries(object(body, "rooms")).flatMap(([roomId, room]) => {
    if (!isObject(room)) throw badJson("a room of a backup must be an object");
    return parseRoomKeys(roomId, room);
  });
}

/** The version that a request names, or M_NOT_FOUND. */
export function backupVersion(app: App, userId: string, version: string | undefined): BackupVersionRow {
  const wanted = version === undefined ? undefined : versionNumber(version);
  const row = app.store.backups.version(userId, wanted);
  if (row === undefined) throw notFound("there is no such backup");
  return row;
}

function versionNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw notFound(`there is no backup ${text}`);
  return Number(text);
}

/** POST /room_keys/version. */
export function createBackup(app: App, userId: string, body: JsonObject): string {
  const algorithm = string(body, "algorithm");
  const authData = JSON.stringify(object(body, "auth_data"));
  return String(app.store.db.transaction(() => app.store.backups.create(userId, algorithm, authData)));
}

/** PUT /room_keys/version/{version}: new auth data, the same algorithm. */
export function updateBackup(app: App, userId: string, version: string, body: JsonObject): void {
  const row = backupVersion(app, userId, version);
  if (string(body, "algorithm") !== row.algorithm)
    throw invalidParam("the algorithm of a backup can't change");
  if (body.version !== undefined && body.version !== version)
    throw invalidParam("version does not match the path");
  const authData = JSON.stringify(object(body, "auth_data"));
  app.store.db.transaction(() => app.store.backups.setAuthData(userId, row.version, authData));
}

/** Adds keys to the current version; of two keys of a session the better one stays. */
export function storeKeys(
  app: App,
  userId: string,
  version: string,
  keys: readonly SessionKey[],
): JsonObject {
  const { backups, db } = app.store;
  return db.transaction(() => {
    const current = backupVersion(app, userId, undefined);
    if (String(current.version) !== version) {
      backupVersion(app, userId, version);
      throw new MatrixError(403, "M_WRONG_ROOM_KEYS_VERSION", "that is not the current backup", {
        current_version: String(current.version),
      });
    }
    let changed = false;
    for (const { roomId, sessionId, data } of keys) {
      const known = backups.key(userId, current.version, roomId, sessionId);
      if (known !== undefined && !better(data, JSON.parse(known) as KeyData)) continue;
      backups.setKey(userId, current.version, roomId, sessionId, JSON.stringify(data));
      changed = true;
    }
    if (changed) backups.touch(userId, current.version);
    return backupState(app, userId, current.version);
  });
}

/** "If the backup already contains a key": verified, then earlier, then less forwarded is better. */
function better(next: KeyData, known: KeyData): boolean {
  if (next.is_verified !== known.is_verified) return next.is_verified;
  if (next.first_message_index !== known.first_message_index) {
    return next.first_message_index < known.first_message_index;
  }
  return next.forwarded_count < known.forwarded_count;
}

export function deleteKeys(
  app: App,
  userId: string,
  version: string,
  roomId?: string,
  sessionId?: string,
): JsonObject {
  const { backups, db } = app.store;
  return db.transaction(() => {
    const row = backupVersion(app, userId, version);
    if (backups.deleteKeys(userId, row.version, roomId, sessionId) > 0) backups.touch(userId, row.version);
    return backupState(app, userId, row.version);
  });
}

/** `{etag, count}`: the etag changes whenever the keys do. */
export function backupState(app: App, userId: string, version: number): { etag: string; count: number } {
  const row = app.store.backups.version(userId, version);
  return { etag: String(row?.etag ?? 0), count: app.store.backups.count(userId, version) };
}
