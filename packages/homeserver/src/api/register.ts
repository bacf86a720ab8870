import { hashPassword } from "../accounts/password.ts";
import { hashSecret, logIn } from "../accounts/tokens.ts";
import type { Stage, StageCheck } from "../accounts/uia.ts";
import type { App } from "../app.ts";
import { forbidden, invalidParam, MatrixError, missingParam, unrecognized } from "../http/errors.ts";
import { optionalBoolean, optionalString, string } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { isLocalpart, isUserId, letters } from "../rooms/ids.ts";

/** "Account registration". */
export function registerRoutes(app: App): Route[] {
  const stranger = { auth: "none", limit: "registration" } as const;
  return [
    route("POST", "/_matrix/client/v3/register", (request) => register(app, request), stranger),
    route("GET", "/_matrix/client/v3/register/available", (request) => available(app, request), stranger),
    route(
      "GET",
      "/_matrix/client/v1/register/m.login.registration_token/validity",
      (request) => {
        const token = request.query.get("token");
        if (token === null) throw missingParam("token");
        return { valid: app.settings.registration !== "closed" && tokenWorks(app, token) };
      },
      stranger,
    ),
  ];
}

const flows: Readonly<Record<"token" | "open", readonly (readonly Stage[])[]>> = {
  token: [["m.login.registration_token"]],
  open: [["m.login.dummy"]],
};

async function register(app: App, request: ApiRequest): Promise<unknown> {
  const { body } = request;
  const { registration } = app.settings;
  const kind = request.query.get("kind") ?? "user";
  if (kind !== "user" && kind !== "guest") throw unrecognized(400, `${kind} is not a kind of account`);
  if (kind === "guest") {
    throw new MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "this homeserver has no guests");
  }
  if (registration === "closed") throw forbidden("registration is closed; ask the operator for an account");
  const wanted = optionalString(body, "username");
  const password = optionalString(body, "password");
  if (wanted !== undefined) checkUsername(app, wanted);
  let token: string | undefined;
  const tokenStage: StageCheck = (auth) => {
    token = string(auth, "token");
    return tokenWorks(app, token)
      ? undefined
      : new MatrixError(401, "M_UNAUTHORIZED", "that registration token does not work");
  };
  await app.uia.require("register", body, flows[registration], {
    "m.login.registration_token": tokenStage,
    "m.login.dummy": () => undefined,
  });
  if (password === undefined) throw missingParam("password");
  const userId = `@${(wanted ?? letters(12)).toLowerCase()}:${app.settings.serverName}`;
  const hash = await hashPassword(password);
  const { accounts, db } = app.store;
  return db.transaction(() => {
    // Others may have taken the name or used the token up while the password was hashed.
    if (accounts.user(userId) !== undefined) throw userInUse(userId);
    if (token !== undefined) {
      if (!tokenWorks(app, token))
        throw new MatrixError(401, "M_UNAUTHORIZED", "that registration token is used up");
      accounts.useRegistrationToken(hashSecret(token));
    }
    accounts.createUser(userId, hash, app.now());
    accounts.setProfile(userId, "displayname", userId.slice(1, userId.indexOf(":")));
    if (optionalBoolean(body, "inhibit_login") === true) {
      return { user_id: userId, home_server: app.settings.serverName };
    }
    return logIn(app, userId, {
      deviceId: optionalString(body, "device_id"),
      displayName: optionalString(body, "initial_device_display_name"),
      refresh: optionalBoolean(body, "refresh_token"),
    });
  });
}

function available(app: App, request: ApiRequest): unknown {
  const username = request.query.get("username");
  if (username === null) throw missingParam("username");
  checkUsername(app, username);
  return { available: true };
}

function checkUsername(app: App, username: string): void {
  const userId = `@${username.toLowerCase()}:${app.settings.serverName}`;
  if (!isLocalpart(username.toLowerCase()) || !isUserId(userId)) {
    throw new MatrixError(400, "M_INVALID_USERNAME", "user names have the characters a-z 0-9 . _ = / + -");
  }
  if (app.store.accounts.user(userId) !== undefined) throw userInUse(userId);
}

function userInUse(userId: string): MatrixError {
  return new MatrixError(400, "M_USER_IN_USE", `${userId} is taken`);
}

function tokenWorks(app: App, token: string): boolean {
  if (token.length > 200) throw invalidParam("the token is too long");
  const row = app.store.accounts.registrationToken(hashSecret(token));
  if (row === undefined) return false;
  const fresh = row.expires_ts === null || row.expires_ts > app.now();
  return fresh && (row.uses_allowed === null || row.uses < row.uses_allowed);
}
