import type { App } from "../app.ts";
import {
  backupState,
  backupVersion,
  createBackup,
  deleteKeys,
  parseAllKeys,
  parseKeyData,
  parseRoomKeys,
  storeKeys,
  updateBackup,
} from "../e2ee/backup.ts";
import { missingParam, notFound } from "../http/errors.ts";
import type { JsonObject } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import type { BackupKeyRow, BackupVersionRow } from "../store/backup.ts";

const versions = "/_matrix/client/v3/room_keys/version";
const keys = "/_matrix/client/v3/room_keys/keys";
const upload = { maxBodyBytes: 8 * 1024 * 1024, limit: "keys" } as const;

/** "Server-side key backups". */
export function roomKeyRoutes(app: App): Route[] {
  return [
    route("POST", versions, (request) => ({ version: createBackup(app, request.userId, request.body) })),
    route("GET", versions, (request) => info(app, request, backupVersion(app, request.userId, undefined))),
    route("GET", `${versions}/{version}`, (request) =>
      info(app, request, backupVersion(app, request.userId, request.param("version"))),
    ),
    route("PUT", `${versions}/{version}`, (request) => {
      updateBackup(app, request.userId, request.param("version"), request.body);
      return {};
    }),
    route("DELETE", `${versions}/{version}`, (request) => {
      const row = backupVersion(app, request.userId, request.param("version"));
      app.store.db.transaction(() => app.store.backups.delete(request.userId, row.version));
      return {};
    }),
    route("PUT", keys, (request) => put(app, request, parseAllKeys(request.body)), upload),
    route(
      "PUT",
      `${keys}/{roomId}`,
      (request) => put(app, request, parseRoomKeys(request.param("roomId"), request.body)),
      upload,
    ),
    route("PUT", `${keys}/{roomId}/{sessionId}`, (request) =>
      put(app, request, [
        {
          roomId: request.param("roomId"),
          sessionId: request.param("sessionId"),
          data: parseKeyData(request.body),
        },
      ]),
    ),
    route("GET", keys, (request) => ({ rooms: allKeys(rows(app, request)) })),
    route("GET", `${keys}/{roomId}`, (request) => ({
      sessions: sessions(rows(app, request, request.param("roomId"))),
    })),
    route("GET", `${keys}/{roomId}/{sessionId}`, (request) => oneKey(app, request)),
    route("DELETE", keys, (request) => deleteKeys(app, request.userId, versionOf(request))),
    route("DELETE", `${keys}/{roomId}`, (request) =>
      deleteKeys(app, request.userId, versionOf(request), request.param("roomId")),
    ),
    route("DELETE", `${keys}/{roomId}/{sessionId}`, (request) =>
      deleteKeys(
        app,
        request.userId,
        versionOf(request),
        request.param("roomId"),
        request.param("sessionId"),
      ),
    ),
  ];
}

function info(app: App, request: ApiRequest, row: BackupVersionRow): unknown {
  return {
    version: String(row.version),
    algorithm: row.algorithm,
    auth_data: JSON.parse(row.auth_data) as unknown,
    ...backupState(app, request.userId, row.version),
  };
}

function versionOf(request: ApiRequest): string {
  const version = request.query.get("version");
  if (version === null) throw missingParam("version");
  return version;
}

function put(app: App, request: ApiRequest, sessionKeys: Parameters<typeof storeKeys>[3]): unknown {
  return storeKeys(app, request.userId, versionOf(request), sessionKeys);
}

function rows(app: App, request: ApiRequest, roomId?: string): BackupKeyRow[] {
  const { version } = backupVersion(app, request.userId, versionOf(request));
  return app.store.backups.keys(request.userId, version, roomId);
}

function sessions(found: readonly BackupKeyRow[]): JsonObject {
  return Object.fromEntries(found.map((row) => [row.session_id, JSON.parse(row.data) as unknown]));
}

function allKeys(found: readonly BackupKeyRow[]): JsonObject {
  const byRoom = Map.groupBy(found, (row) => row.room_id);
  return Object.fromEntries([...byRoom].map(([roomId, group]) => [roomId, { sessions: sessions(group) }]));
}

function oneKey(app: App, request: ApiRequest): unknown {
  const { version } = backupVersion(app, request.userId, versionOf(request));
  const data = app.store.backups.key(
    request.userId,
    version,
    request.param("roomId"),
    request.param("sessionId"),
  );
  if (data === undefined) throw notFound("there is no key of that session in the backup");
  return JSON.parse(data) as unknown;
}
