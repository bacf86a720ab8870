/** The part of the method table that is about the account, and about whom it lets in. */
import type { Method, None, RolesOf } from "./method.ts";
import type { DaemonStatus, InvitedInfo, InviteInfo } from "./values.ts";

export interface AccountMethods {
  "auth.login": Method<
    "operator",
    {
      homeserver: string;
      user: string | null;
      secret:
        | { type: "password"; password: string }
        | { type: "token"; token: string }
        | { type: "login_token"; token: string }
        /** What the browser brought back from the address of `auth.oauth`. */
        | { type: "oauth"; state: string; code: string }
        | { type: "register"; password: string; registration_token: string | null };
      device_name: string | null;
    },
    { user_id: string; device_id: string; homeserver: string }
  >;
  /** How a homeserver lets people log in; `homeserver` is the base URL that was discovered. */
  "auth.flows": Method<
    "operator",
    { homeserver: string },
    {
      homeserver: string;
      types: string[];
      identity_providers: { id: string; name: string }[];
      oauth: boolean;
    }
  >;
  /** Begins a login at the homeserver's OAuth 2.0 server: the address for a browser, which comes back to `redirect_uri`. */
  "auth.oauth": Method<
    "operator",
    { homeserver: string; redirect_uri: string },
    { url: string; state: string }
  >;
  "auth.status": Method<"agent", None, { account: DaemonStatus["account"]; sync: DaemonStatus["sync"] }>;
  "auth.logout": Method<"operator", None, { user_id: string; server_side: boolean }>;

  "invite.create": Method<
    "operator",
    {
      room: string;
      role: InviteInfo["role"];
      uses: number;
      expires_ms: number;
      /** What guests are to reach; null: what the daemon uses. */
      homeserver: string | null;
      registration_token: string | null;
    },
    InviteInfo & { link: string }
  >;
  "invite.list": Method<"operator", { room: string | null }, InviteInfo[]>;
  "invite.show": Method<"operator", { invite_id: string }, InviteInfo & { link: string }>;
  "invite.revoke": Method<"operator", { invite_id: string }, InviteInfo>;
  "invite.redeem": Method<
    "operator",
    { link: string; agent: string | null; encrypted: boolean; wait_ms: number },
    InvitedInfo
  >;
}

export const accountRoles: RolesOf<AccountMethods> = {
  "auth.login": "operator",
  "auth.flows": "operator",
  "auth.oauth": "operator",
  "auth.status": "agent",
  "auth.logout": "operator",
  "invite.create": "operator",
  "invite.list": "operator",
  "invite.show": "operator",
  "invite.revoke": "operator",
  "invite.redeem": "operator",
};
