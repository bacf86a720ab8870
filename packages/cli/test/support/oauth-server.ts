/**
 * An OAuth 2.0 server for a Synapse that has handed its accounts away: what matrix-authentication-service is to it, with one
 * user who is always at the browser. Authorization code with PKCE (RFC 6749, 7636, 8252), registration (7591), rotated
 * refresh tokens, revocation (7009), introspection (7662).
 */
import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface OAuthServer {
  readonly url: string;
  /** Shared with the homeserver. */
  readonly secret: string;
  /** How often a refresh token was taken for new tokens. */
  readonly refreshed: number;
  /** Devices whose login still holds. */
  readonly devices: string[];
  /** Every token that was ever given out. */
  readonly tokens: ReadonlySet<string>;
  /** From now on the person in the browser says no. */
  deny: boolean;
  /** Where accounts and devices are made. */
  homeserver: string;
  /** Ends every login, as the account's owner can. */
  endAll(): Promise<void>;
  close(): Promise<void>;
}

interface Login {
  device: string;
  scope: string;
  client: string;
  access: string;
  accessUntil: number;
  refresh: string;
  /** Taken already; still good until its successor is used, as long as nobody has that. */
  used: string | undefined;
}

interface Code {
  client: string;
  redirect: string;
  challenge: string;
  scope: string;
}

const DEVICE = "urn:matrix:client:device:";
const API = "urn:matrix:client:api:*";

export async function startOAuthServer(user: string, lifeSeconds: number): Promise<OAuthServer> {
  const secret = randomBytes(16).toString("hex");
  const clients = new Map<string, string[]>();
  const codes = new Map<string, Code>();
  const tokens = new Set<string>();
  let logins: Login[] = [];
  const token = () => {
    const made = `${randomBytes(18).toString("base64url")}`;
    tokens.add(made);
    return made;
  };
  const renew = (login: Login) => {
    Object.assign(login, { access: token(), accessUntil: Date.now() + lifeSeconds * 1_000 });
    return {
      access_token: login.access,
      refresh_token: login.refresh,
      token_type: "Bearer",
      expires_in: lifeSeconds,
      scope: login.scope,
    };
  };
  const tell = async (what: string, body: object) => {
    const response = await fetch(`${self.homeserver}/_synapse/mas/${what}`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify({ localpart: user, ...body }),
    });
    if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
  };
  const end = async (ended: Login) => {
    logins = logins.filter((login) => login !== ended);
    await tell("delete_device", { device_id: ended.device });
  };

  async function authorize(query: URLSearchParams): Promise<Reply> {
    const [client, redirect, scope] = ["client_id", "redirect_uri", "scope"].map(
      (name) => query.get(name) ?? "",
    );
    const known = clients.get(client ?? "");
    if (!client || !redirect || !scope || !known?.includes(withoutPort(redirect)))
      return invalid("invalid_request");
    const back = new URL(redirect);
    back.searchParams.set("state", query.get("state") ?? "");
    const challenge = query.get("code_challenge");
    const wrong = query.get("code_challenge_method") !== "S256" || !challenge || !scope.includes(API);
    if (self.deny || wrong) back.searchParams.set("error", wrong ? "invalid_request" : "access_denied");
    else {
      const code = token();
      codes.set(code, { client, redirect, challenge, scope });
      back.searchParams.set("code", code);
    }
    return { status: 303, location: back.href };
  }

  async function grant(form: URLSearchParams): Promise<Reply> {
    const client = form.get("client_id") ?? "";
    if (form.get("grant_type") === "refresh_token") {
      const given = form.get("refresh_token") ?? "";
      const login = logins.find(({ refresh, used }) => given !== "" && (refresh === given || used === given));
      if (login?.client !== client) return invalid("invalid_grant");
      self.refreshed++;
      login.used = given;
      login.refresh = token();
      return { status: 200, body: renew(login) };
    }
    const code = codes.get(form.get("code") ?? "");
    codes.delete(form.get("code") ?? "");
    const verifier = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url");
    if (code?.client !== client || code.challenge !== verifier || code.redirect !== form.get("redirect_uri"))
      return invalid("invalid_grant");
    const { scope } = code;
    const device =
      scope
        .split(" ")
        .find((part) => part.startsWith(DEVICE))
        ?.slice(DEVICE.length) ?? "";
    await tell("provision_user", {});
    await tell("upsert_device", { device_id: device });
    const login = { device, scope, client, access: "", accessUntil: 0, refresh: token(), used: undefined };
    logins.push(login);
    return { status: 200, body: renew(login) };
  }

  function introspect(form: URLSearchParams): Reply {
    const login = logins.find(({ access }) => access === form.get("token"));
    const expires_in = Math.ceil(((login?.accessUntil ?? 0) - Date.now()) / 1_000);
    if (!login || expires_in <= 0) return { status: 200, body: { active: false } };
    return { status: 200, body: { active: true, scope: login.scope, username: user, sub: user, expires_in } };
  }

  function register(metadata: Registration): Reply {
    const { redirect_uris = [], client_uri = "", application_type } = metadata;
    const native = redirect_uris.every((uri) => uri.startsWith("http://127.0.0.1/"));
    if (!native || application_type !== "native" || !client_uri.startsWith("https://"))
      return invalid("invalid_client_metadata");
    const client_id = randomBytes(8).toString("hex");
    clients.set(client_id, redirect_uris);
    return { status: 201, body: { ...metadata, client_id } };
  }

  async function answer(request: IncomingMessage): Promise<Reply> {
    const { pathname, searchParams } = new URL(request.url ?? "/", self.url);
    const body = await textOf(request);
    const form = new URLSearchParams(body);
    const authorized = request.headers.authorization === `Bearer ${secret}`;
    if (pathname === "/.well-known/openid-configuration") return { status: 200, body: metadataOf(self.url) };
    if (pathname === "/authorize") return authorize(searchParams);
    if (pathname === "/register") return register(JSON.parse(body));
    if (pathname === "/token") return grant(form);
    if (pathname === "/oauth2/introspect") return authorized ? introspect(form) : { status: 401, body: {} };
    if (pathname !== "/revoke") return { status: 404, body: {} };
    const given = form.get("token");
    const ended = logins.find(({ access, refresh }) => access === given || refresh === given);
    if (ended) await end(ended);
    return { status: 200, body: {} };
  }

  const server = createServer((request, response) => {
    answer(request).then(
      ({ status, body, location }) => {
        response.writeHead(status, { "content-type": "application/json", ...(location && { location }) });
        response.end(body && JSON.stringify(body));
      },
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const self = {
    url: `http://127.0.0.1:${port}`,
    secret,
    refreshed: 0,
    tokens,
    deny: false,
    homeserver: "",
    get devices() {
      return logins.map(({ device }) => device);
    },
    endAll: async () => {
      for (const login of logins) await end(login);
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}

interface Reply {
  status: number;
  body?: object;
  location?: string;
}

interface Registration {
  redirect_uris?: string[];
  client_uri?: string;
  application_type?: string;
}

const invalid = (error: string): Reply => ({
  status: 400,
  body: { error, error_description: "not like that" },
});

const metadataOf = (url: string) => ({
  issuer: `${url}/`,
  authorization_endpoint: `${url}/authorize`,
  token_endpoint: `${url}/token`,
  registration_endpoint: `${url}/register`,
  revocation_endpoint: `${url}/revoke`,
  introspection_endpoint: `${url}/oauth2/introspect`,
  account_management_uri: `${url}/account`,
  response_types_supported: ["code"],
  response_modes_supported: ["query", "fragment"],
  grant_types_supported: ["authorization_code", "refresh_token"],
  code_challenge_methods_supported: ["S256"],
});

function withoutPort(uri: string): string {
  const url = new URL(uri);
  url.port = "";
  return url.href;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}
