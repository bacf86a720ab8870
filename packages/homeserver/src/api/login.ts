import { verifyPassword } from "../accounts/password.ts";
import { hashSecret, issueTokens, logIn, newSecret } from "../accounts/tokens.ts";
import type { App } from "../app.ts";
import { forbidden, invalidParam, MatrixError } from "../http/errors.ts";
import {
  type JsonObject,
  optionalBoolean,
  optionalObject,
  optionalString,
  own,
  string,
} from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { deleteDevice } from "./devices.ts";
import { passwordCheck } from "./password-stage.ts";

const LOGIN_TOKEN_LIFETIME_MS = 2 * 60 * 1000;

/** "Login", "Logout", "Refreshing access tokens". */
export function loginRoutes(app: App): Route[] {
  const stranger = { auth: "none", limit: "login" } as const;
  return [
    route(
      "GET",
      "/_matrix/client/v3/login",
      () => ({ flows: [{ type: "m.login.password" }, { type: "m.login.token", get_login_token: true }] }),
      { auth: "none" },
    ),
    route("POST", "/_matrix/client/v3/login", (request) => login(app, request), stranger),
    route("POST", "/_matrix/client/v3/refresh", (request) => refresh(app, request), stranger),
    route("POST", "/_matrix/client/v1/login/get_token", (request) => loginToken(app, request)),
    route("POST", "/_matrix/client/v3/logout", (request) => logout(app, request), { body: "optional" }),
    route("POST", "/_matrix/client/v3/logout/all", (request) => logoutAll(app, request), {
      body: "optional",
    }),
    route("GET", "/_matrix/client/v3/account/whoami", (request) => ({
      user_id: request.userId,
      device_id: request.session.deviceId,
      is_guest: false,
    })),
  ];
}

async function login(app: App, request: ApiRequest): Promise<unknown> {
  const { body } = request;
  const type = string(body, "type");
  const userId =
    type === "m.login.password"
      ? await userOfPassword(app, body)
      : type === "m.login.token"
        ? userOfToken(app, string(body, "token"))
        : undefined;
  if (userId === undefined) throw invalidParam(`there is no login of type ${type}`);
  return logIn(app, userId, {
    deviceId: optionalString(body, "device_id"),
    displayName: optionalString(body, "initial_device_display_name"),
    refresh: optionalBoolean(body, "refresh_token"),
  });
}

async function userOfPassword(app: App, body: JsonObject): Promise<string> {
  const identifier = optionalObject(body, "identifier");
  if (identifier !== undefined && identifier.type !== "m.id.user") {
    throw forbidden("users are identified by m.id.user only");
  }
  const name = own(identifier ?? body, "user");
  const password = own(body, "password");
  if (typeof name !== "string" || typeof password !== "string") {
    throw invalidParam("a login needs a user and a password, both strings");
  }
  const userId = fullUserId(app, name);
  // Whoever guesses may do it from many addresses.
  app.limiter.take("login", userId);
  const user = app.store.accounts.user(userId);
  if (!(await verifyPassword(password, user?.password_hash))) {
    throw forbidden("wrong user name or password");
  }
  // While the hash was computed the account may have been deactivated or its password changed.
  const now = app.store.accounts.user(userId);
  if (now === undefined || now.deactivated === 1 || now.password_hash !== user?.password_hash) {
    throw forbidden("wrong user name or password");
  }
  return userId;
}

function fullUserId(app: App, name: string): string {
  return name.startsWith("@") ? name : `@${name.toLowerCase()}:${app.settings.serverName}`;
}

function userOfToken(app: App, token: string): string {
  const { accounts, db } = app.store;
  const userId = db.transaction(() => accounts.takeLoginToken(hashSecret(token), app.now()));
  if (userId === undefined || accounts.user(userId)?.deactivated !== 0) {
    throw forbidden("the login token is not known, was used or is too old");
  }
  return userId;
}

/** POST /v1/login/get_token: lets a signed-in user sign another client in. */
async function loginToken(app: App, request: ApiRequest): Promise<unknown> {
  const { userId, body } = request;
  await app.uia.require(`get_token ${userId}`, body, [["m.login.password"]], {
    "m.login.password": passwordCheck(app, userId),
  });
  const token = newSecret("syl");
  app.store.db.transaction(() =>
    app.store.accounts.addLoginToken(hashSecret(token), userId, app.now() + LOGIN_TOKEN_LIFETIME_MS),
  );
  return { login_token: token, expires_in_ms: LOGIN_TOKEN_LIFETIME_MS };
}

/** POST /refresh. The old pair works until the new one is used, in case this answer gets lost. */
function refresh(app: App, request: ApiRequest): unknown {
  const { accounts, db } = app.store;
  const hash = hashSecret(string(request.body, "refresh_token"));
  const row = accounts.refreshToken(hash);
  if (row === undefined) throw new MatrixError(401, "M_UNKNOWN_TOKEN", "unknown refresh token");
  return db.transaction(() => {
    if (row.superseded === 0) {
      accounts.deleteSupersededRefreshTokens(row.user_id, row.device_id);
      accounts.supersedeRefreshToken(hash);
    }
    return issueTokens(app, row.user_id, row.device_id, true, hash);
  });
}

function logout(app: App, request: ApiRequest): unknown {
  const { userId, deviceId } = request.session;
  app.store.db.transaction(() => deleteDevice(app, userId, deviceId));
  return {};
}

function logoutAll(app: App, request: ApiRequest): unknown {
  app.store.db.transaction(() => {
    for (const device of app.store.accounts.devices(request.userId))
      deleteDevice(app, request.userId, device.device_id);
  });
  return {};
}
