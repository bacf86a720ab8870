/** Login at a homeserver that hands it to an OAuth 2.0 server (Client-Server API, "OAuth 2.0 API"). */
import { randomBytes } from "node:crypto";
import { mxError } from "@mx-agent/base";
import { HTTPError } from "matrix-js-sdk/lib/http-api/errors.js";
import {
  isValidAuthMetadata,
  OAuth2,
  OAuth2HTTPError,
  OAuthGrantType,
  type ValidatedAuthMetadata,
} from "matrix-js-sdk/lib/oauth/index.js";
import { discoverHomeserver, request } from "./discovery.ts";
import { whoAmI } from "./login.ts";
import { sdkLogger } from "./sdk-logger.ts";
import { type Clock, type Credentials, describe, type Fetch, type Logger } from "./types.ts";

/** How long a person may take in the browser, and how many logins may be under way. */
const ATTEMPT_MS = 60 * 60_000;
const MOST_ATTEMPTS = 8;
/** Authorization servers want a page about the client, and show it to the account's owner. */
const CLIENT = { client_name: "mx-agent", client_uri: "https://www.npmjs.com/package/mx-agent" };

interface Attempt {
  oauth: OAuth2;
  homeserver: string;
  redirect_uri: string;
  begun: number;
}

export interface OAuthOptions {
  fetch: Fetch;
  clock: Clock;
  logger: Logger;
}

/** Logins that wait for somebody's browser. What proves that they are ours never leaves this process. */
export class OAuthLogins {
  readonly #options: OAuthOptions;
  readonly #attempts = new Map<string, Attempt>();

  constructor(options: OAuthOptions) {
    this.#options = options;
  }

  /**
   * Registers as a client, and resolves to the address for the browser. It comes back to `redirect_uri`, which
   * is on loopback, with this `state`. MX_LOGIN_REFUSED where the server does not do this, or not with us.
   */
  async begin(
    given: string,
    redirect_uri: string,
    device_id: string | undefined,
  ): Promise<{ url: string; state: string }> {
    const { fetch, clock, logger } = this.#options;
    const homeserver = await discoverHomeserver(fetch, given);
    const metadata = await metadataOf(fetch, homeserver);
    const clientId = await OAuth2.registerClient(
      metadata,
      {
        ...CLIENT,
        application_type: "native",
        // On loopback the port is the request's own, and is not registered (RFC 8252, 7.3).
        redirect_uris: [withoutPort(redirect_uri)],
        grant_types: [OAuthGrantType.AuthorizationCode, OAuthGrantType.RefreshToken],
      },
      sdkLogger(logger, "oauth"),
    ).catch((error: unknown) => {
      throw refused(error, homeserver);
    });
    const context = device_id === undefined ? { clientId } : { clientId, deviceId: device_id };
    const oauth = new OAuth2(metadata, context, sdkLogger(logger, "oauth"));
    const state = randomBytes(16).toString("base64url");
    const url = await oauth.generateAuthorizationCodeGrantUrl(state, redirect_uri, "query");
    this.#forgetOld(clock());
    this.#attempts.set(state, { oauth, homeserver, redirect_uri, begun: clock() });
    return { url, state };
  }

  /** The credentials for the code that the browser brought. MX_LOGIN_REFUSED, MX_HOMESERVER_UNREACHABLE. */
  async complete({ state, code }: { state: string; code: string }): Promise<Credentials> {
    const { fetch, clock } = this.#options;
    this.#forgetOld(clock());
    const attempt = this.#attempts.get(state);
    if (attempt === undefined)
      throw mxError("MX_LOGIN_REFUSED", {
        url: "the daemon",
        user: "a browser",
        detail: "this login was not begun here, or too long ago",
      });
    this.#attempts.delete(state);
    const { oauth, homeserver, redirect_uri } = attempt;
    const tokens = await oauth.completeAuthorizationCodeGrant(code, redirect_uri).catch((error: unknown) => {
      throw refused(error, homeserver);
    });
    const credentials = await whoAmI(fetch, homeserver, tokens.access_token);
    const refresh_token = tokens.refresh_token ?? null;
    return { ...credentials, oauth: { client_id: oauth.context.clientId, refresh_token } };
  }

  #forgetOld(now: number): void {
    const kept = [...this.#attempts].filter(([, { begun }]) => now - begun < ATTEMPT_MS);
    this.#attempts.clear();
    for (const [state, attempt] of kept.slice(-MOST_ATTEMPTS)) this.#attempts.set(state, attempt);
  }
}

/** Ends such a login at the authorization server, which takes the device from the homeserver. */
export async function revokeTokens(fetch: Fetch, credentials: Credentials, logger: Logger): Promise<void> {
  const { homeserver, access_token, device_id, oauth } = credentials;
  if (oauth === undefined) return;
  const metadata = await metadataOf(fetch, homeserver);
  const context = { clientId: oauth.client_id, deviceId: device_id };
  const client = new OAuth2(metadata, context, sdkLogger(logger, "oauth"));
  try {
    if (oauth.refresh_token !== null) await client.revokeToken(oauth.refresh_token, "refresh_token");
    await client.revokeToken(access_token, "access_token");
  } catch (error) {
    throw refused(error, homeserver);
  }
}

async function metadataOf(fetch: Fetch, homeserver: string): Promise<ValidatedAuthMetadata> {
  const { status, body } = await request(fetch, `${homeserver}/_matrix/client/v1/auth_metadata`);
  const reason =
    status !== 200
      ? "it does not announce OAuth 2.0"
      : !isValidAuthMetadata(body)
        ? "the OAuth 2.0 that it announces lacks what Matrix asks for"
        : undefined;
  if (reason === undefined && isValidAuthMetadata(body) && isWeb(body.authorization_endpoint)) return body;
  throw mxError("MX_LOGIN_REFUSED", {
    url: homeserver,
    user: "a browser",
    detail: reason ?? "the address that it announces is none for a browser",
  });
}

const isWeb = (url: string) => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);

function withoutPort(uri: string): string {
  const url = new URL(uri);
  url.port = "";
  return url.href;
}

function refused(error: unknown, url: string) {
  if (error instanceof OAuth2HTTPError) {
    const detail = error.error_description ? `${error.error}: ${error.error_description}` : error.error;
    return mxError("MX_LOGIN_REFUSED", { url, user: "a browser", detail }, { cause: error });
  }
  const unanswered = !(error instanceof HTTPError) && error instanceof TypeError;
  return mxError(
    unanswered ? "MX_HOMESERVER_UNREACHABLE" : "MX_LOGIN_REFUSED",
    { url, user: "a browser", detail: describe(error) },
    { cause: error },
  );
}
