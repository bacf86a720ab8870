import { failpoint } from "@mx-agent/base";
import type { ICreateClientOpts } from "matrix-js-sdk/lib/client.js";
import type { Credentials, RenewedTokens } from "./types.ts";

export interface RenewalOptions {
  credentials: Credentials;
  /** Makes them durable before it returns. */
  onTokens: (tokens: RenewedTokens) => void;
  onFatal: (error: unknown) => void;
}

type ClientOptions = Pick<ICreateClientOpts, "refreshToken" | "oauthClientId" | "onTokenRefresh">;

/**
 * Lets the SDK renew an access token that ran out (Client-Server API, "Token refresh flow"). A refresh token works once,
 * and its successor's first use makes that final: so the successor is on disk before anything is done with it.
 */
export function renewal({ credentials, onTokens, onFatal }: RenewalOptions): ClientOptions {
  const { oauth } = credentials;
  if (oauth === undefined || oauth.refresh_token === null) return {};
  let refresh_token = oauth.refresh_token;
  return {
    refreshToken: refresh_token,
    oauthClientId: oauth.client_id,
    onTokenRefresh(tokens) {
      // An answer without one leaves the old one in force (RFC 6749, 6); the SDK would go on without any.
      tokens.refreshToken ??= refresh_token;
      refresh_token = tokens.refreshToken;
      failpoint("oauth.before_stored");
      try {
        onTokens({ access_token: tokens.accessToken, refresh_token });
      } catch (error) {
        onFatal(error);
        throw error;
      }
      failpoint("oauth.after_stored");
    },
  };
}
