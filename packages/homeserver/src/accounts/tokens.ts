import { createHash, randomBytes } from "node:crypto";
import type { App } from "../app.ts";
import { badJson, MatrixError } from "../http/errors.ts";
import type { Session } from "../http/request.ts";
import { newDeviceId } from "../rooms/ids.ts";

/** A secret with 256 bits, to hand out once. */
export function newSecret(kind: "syt" | "syr" | "syl" | "reg"): string {
  return `mx${kind}_${randomBytes(32).toString("base64url")}`;
}

/** How a secret is kept: it has enough entropy for a plain hash. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}

/** What a login hands out. */
export interface Login {
  readonly user_id: string;
  readonly device_id: string;
  readonly access_token: string;
  readonly home_server: string;
  readonly refresh_token?: string;
  readonly expires_in_ms?: number;
}

/** Logs a user in on a device, a new one unless it is named (M_BAD_JSON); the device's older tokens end. */
export function logIn(
  app: App,
  userId: string,
  wanted: { deviceId?: string | undefined; displayName?: string | undefined; refresh?: boolean | undefined },
): Login {
  const { accounts, db } = app.store;
  const deviceId = wanted.deviceId ?? newDeviceId();
  if (deviceId === "" || deviceId.length > 255) throw badJson("device_id has 1 to 255 characters");
  return db.transaction(() => {
    accounts.deleteTokens(userId, deviceId);
    accounts.ensureDevice(userId, deviceId, wanted.displayName);
    return {
      user_id: userId,
      device_id: deviceId,
      home_server: app.settings.serverName,
      ...issueTokens(app, userId, deviceId, wanted.refresh === true, null),
    };
  });
}

/**
 * A new access token, with a lifetime and a refresh token where the client can use one. `replaces` is the
 * refresh token that it is had for.
 */
export function issueTokens(
  app: App,
  userId: string,
  deviceId: string,
  refresh: boolean,
  replaces: string | null,
): { access_token: string; refresh_token?: string; expires_in_ms?: number } {
  const { accounts } = app.store;
  const token = newSecret("syt");
  if (!refresh) {
    accounts.addToken({ hash: hashSecret(token), userId, deviceId, expiresTs: null, replaces });
    return { access_token: token };
  }
  const lifetime = app.settings.accessTokenLifetimeMs;
  const refreshToken = newSecret("syr");
  accounts.addToken({ hash: hashSecret(token), userId, deviceId, expiresTs: app.now() + lifetime, replaces });
  accounts.addRefreshToken(hashSecret(refreshToken), userId, deviceId);
  return { access_token: token, refresh_token: refreshToken, expires_in_ms: lifetime };
}

/** The session of an access token; M_UNKNOWN_TOKEN, with soft_logout where the device lives on. */
export function sessionOfToken(app: App, token: string): Session {
  const tokenHash = hashSecret(token);
  const row = app.store.accounts.token(tokenHash);
  const expired = row?.expires_ts !== null && row !== undefined && row.expires_ts <= app.now();
  if (row === undefined || expired) {
    throw new MatrixError(
      401,
      "M_UNKNOWN_TOKEN",
      expired ? "the access token has expired" : "unknown access token",
      { soft_logout: row !== undefined },
    );
  }
  if (row.replaces !== null)
    app.store.db.transaction(() => app.store.accounts.replacePredecessors(tokenHash, row));
  return { userId: row.user_id, deviceId: row.device_id, tokenHash };
}
