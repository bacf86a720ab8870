import { hostname } from "node:os";
import { type MxError, mxError } from "@mx-agent/base";
import type { DaemonStatus, Params, Result } from "@mx-agent/ipc";
import { z } from "zod";
import { login, logout } from "./matrix/login.ts";
import { type LoginFlows, loginFlows } from "./matrix/login-flows.ts";
import type { Credentials } from "./matrix/types.ts";
import type { Settings } from "./state/settings.ts";

const KEY = "credentials";

const stored = z.strictObject({
  user_id: z.string(),
  device_id: z.string(),
  access_token: z.string(),
  homeserver: z.string(),
  /** The server took the token back; soft: the device is kept and can log in again. */
  revoked: z.enum(["no", "soft", "hard"]),
  /** What the server said when it took the token back. */
  revoked_because: z.string().optional(),
});

export interface AccountParts {
  settings: Settings;
  fetch: typeof globalThis.fetch;
  /** Starts working with these credentials. */
  goOnline(credentials: Credentials): Promise<void>;
  /** Stops working; nothing of the session is used afterwards. */
  goOffline(): Promise<void>;
}

/** The daemon's Matrix account: the only place that has the token. */
export class AccountKeeper {
  readonly #parts: AccountParts;

  constructor(parts: AccountParts) {
    this.#parts = parts;
  }

  /** What the last login left; undefined when there was none, or its token no longer works. */
  credentials(): Credentials | undefined {
    const parsed = this.#stored();
    if (parsed?.revoked !== "no") return undefined;
    const { user_id, device_id, access_token, homeserver } = parsed;
    return { user_id, device_id, access_token, homeserver };
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
    const { homeserver, user, secret } = params;
    const before = this.#stored();
    if (this.credentials())
      throw mxError("MX_USAGE", {
        detail: `logged in already as ${before?.user_id ?? "?"}; log out first`,
        command: "auth logout",
      });
    const name = user ?? "";
    if (name === "" && (secret.type === "password" || secret.type === "register"))
      throw mxError("MX_USAGE", { detail: "--user is missing", command: "auth login" });
    const credentials = await login({
      fetch: this.#parts.fetch,
      homeserver,
      device_name: params.device_name ?? `mx-agent on ${hostname()}`,
      ...(before?.revoked === "soft" ? { device_id: before.device_id } : {}),
      method:
        secret.type === "password"
          ? { kind: "password", user: name, password: secret.password }
          : secret.type === "token"
            ? { kind: "access_token", access_token: secret.token }
            : secret.type === "login_token"
              ? { kind: "login_token", token: secret.token }
              : {
                  kind: "register",
                  user: name,
                  password: secret.password,
                  registration_token: secret.registration_token,
                },
    });
    const { user_id, device_id, access_token } = credentials;
    this.#parts.settings.set(KEY, {
      user_id,
      device_id,
      access_token,
      homeserver: credentials.homeserver,
      revoked: "no",
    });
    await this.#parts.goOnline(credentials);
    return { user_id, device_id, homeserver: credentials.homeserver };
  }

  flows(homeserver: string): Promise<LoginFlows> {
    return loginFlows(this.#parts.fetch, homeserver);
  }

  async logout(): Promise<Result<"auth.logout">> {
    const credentials = this.credentials();
    if (!credentials) throw this.notLoggedIn();
    await this.#parts.goOffline();
    let server_side = true;
    try {
      await logout(this.#parts.fetch, credentials);
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
