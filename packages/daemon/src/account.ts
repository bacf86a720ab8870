import { hostname } from "node:os";
import { type MxError, mxError } from "@mx-agent/base";
import type { DaemonStatus, Params, Result } from "@mx-agent/ipc";
import { z } from "zod";
import { type LoginMethod, login, logout } from "./matrix/login.ts";
import { type LoginFlows, loginFlows } from "./matrix/login-flows.ts";
import { OAuthLogins, revokeTokens } from "./matrix/oauth.ts";
import type { Credentials, Logger, RenewedTokens } from "./matrix/types.ts";
import type { Settings } from "./state/settings.ts";

const KEY = "credentials";

const stored = z.strictObject({
  user_id: z.string(),
  device_id: z.string(),
  access_token: z.string(),
  homeserver: z.string(),
  /** Where an OAuth 2.0 server logged us in. */
  oauth: z.strictObject({ client_id: z.string(), refresh_token: z.string().nullable() }).optional(),
  /** The server took the token back; soft: the device is kept and can log in again. */
  revoked: z.enum(["no", "soft", "hard"]),
  /** What the server said when it took the token back. */
  revoked_because: z.string().optional(),
});

export interface AccountParts {
  settings: Settings;
  fetch: typeof globalThis.fetch;
  now(): number;
  logger: Logger;
  /** Starts working with these credentials. */
  goOnline(credentials: Credentials): Promise<void>;
  /** Stops working; nothing of the session is used afterwards. */
  goOffline(): Promise<void>;
}

/** The daemon's Matrix account: the only place that has the token. */
export class AccountKeeper {
  readonly #parts: AccountParts;
  readonly #browsers: OAuthLogins;

  constructor(parts: AccountParts) {
    this.#parts = parts;
    this.#browsers = new OAuthLogins({ fetch: parts.fetch, clock: parts.now, logger: parts.logger });
  }

  /** What the last login left; undefined when there was none, or its token no longer works. */
  credentials(): Credentials | undefined {
    const parsed = this.#stored();
    if (parsed?.revoked !== "no") return undefined;
    const { user_id, device_id, access_token, homeserver, oauth } = parsed;
    return { user_id, device_id, access_token, homeserver, ...(oauth && { oauth }) };
  }

  /** The account of the last login, whether or not it is worked with now, and whether or not its token still works. */
  current(): DaemonStatus["account"] {
    const parsed = this.#stored();
    if (!parsed) return null;
    const { user_id, device_id, homeserver } = parsed;
    return { user_id, device_id, homeserver };
  }

  /** What the homeserver said when it took our token back; null where it did not. */
  revokedBecause(): string | null {
    const parsed = this.#stored();
    return parsed === undefined || parsed.revoked === "no" ? null : (parsed.revoked_because ?? "");
  }

  /** MX_NOT_LOGGED_IN, with what is known of the last login. */
  notLoggedIn(): MxError {
    const account = this.current();
    const because = this.revokedBecause();
    if (account === null || because === null) return mxError("MX_NOT_LOGGED_IN");
    const detail = `: ${account.homeserver} has logged ${account.user_id} out${because === "" ? "" : ` (${because})`}`;
    return mxError("MX_NOT_LOGGED_IN", { detail, ...account, because });
  }

  #stored(): z.infer<typeof stored> | undefined {
    return stored.safeParse(this.#parts.settings.get(KEY)).data;
  }

  async login(params: Params<"auth.login">): Promise<Result<"auth.login">> {
    this.#refuseSecond();
    const { homeserver, secret } = params;
    const device_id = this.#keptDevice();
    const credentials =
      secret.type === "oauth"
        ? await this.#browsers.complete(secret)
        : await login({
            fetch: this.#parts.fetch,
            homeserver,
            device_name: params.device_name ?? `mx-agent on ${hostname()}`,
            ...(device_id !== undefined && { device_id }),
            method: methodOf(secret, params.user ?? ""),
          });
    this.#parts.settings.set(KEY, { ...credentials, revoked: "no" });
    await this.#parts.goOnline(credentials);
    const { user_id } = credentials;
    return { user_id, device_id: credentials.device_id, homeserver: credentials.homeserver };
  }

  /** The address for the browser, and what the browser has to bring back beside a code. */
  async beginOAuth({ homeserver, redirect_uri }: Params<"auth.oauth">): Promise<Result<"auth.oauth">> {
    this.#refuseSecond();
    return this.#browsers.begin(homeserver, redirect_uri, this.#keptDevice());
  }

  #refuseSecond(): void {
    const account = this.credentials();
    if (account === undefined) return;
    const detail = `logged in already as ${account.user_id}; log out first`;
    throw mxError("MX_USAGE", { detail, command: "auth logout" });
  }

  /** The device of a login that the server ended, and lets us go on with. */
  #keptDevice(): string | undefined {
    const before = this.#stored();
    return before?.revoked === "soft" ? before.device_id : undefined;
  }

  /** On disk when this returns: what was used up to get them works no more. */
  renewed(device_id: string, { access_token, refresh_token }: RenewedTokens): void {
    const parsed = this.#stored();
    if (parsed?.oauth === undefined || parsed.device_id !== device_id) return;
    const oauth = { ...parsed.oauth, refresh_token };
    this.#parts.settings.set(KEY, { ...parsed, access_token, oauth });
  }

  flows(homeserver: string): Promise<LoginFlows> {
    return loginFlows(this.#parts.fetch, homeserver);
  }

  async logout(): Promise<Result<"auth.logout">> {
    if (!this.credentials()) throw this.notLoggedIn();
    await this.#parts.goOffline();
    // The session may have renewed them up to its end.
    const credentials = this.credentials();
    if (!credentials) throw this.notLoggedIn();
    let server_side = true;
    try {
      if (credentials.oauth) await revokeTokens(this.#parts.fetch, credentials, this.#parts.logger);
      else await logout(this.#parts.fetch, credentials);
    } catch {
      server_side = false;
    }
    this.#parts.settings.delete(KEY);
    return { user_id: credentials.user_id, server_side };
  }

  /** The homeserver no longer knows the token: it is not used again, and a new login can follow. */
  revoked(soft: boolean, because: string): void {
    const parsed = this.#stored();
    if (!parsed) return;
    const revoked = soft ? "soft" : "hard";
    this.#parts.settings.set(KEY, { ...parsed, revoked, revoked_because: because });
  }
}

type Secret = Exclude<Params<"auth.login">["secret"], { type: "oauth" }>;

/** MX_USAGE where a password has no user. */
function methodOf(secret: Secret, user: string): LoginMethod {
  if (secret.type === "token") return { kind: "access_token", access_token: secret.token };
  if (secret.type === "login_token") return { kind: "login_token", token: secret.token };
  if (user === "") throw mxError("MX_USAGE", { detail: "--user is missing", command: "auth login" });
  const { password } = secret;
  if (secret.type === "password") return { kind: "password", user, password };
  return { kind: "register", user, password, registration_token: secret.registration_token };
}
