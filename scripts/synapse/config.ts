import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Registration } from "@mx-agent/homeserver";

/** What must stay the same over restarts on one directory. */
export interface Secrets {
  registrationSharedSecret: string;
  macaroonSecretKey: string;
  formSecret: string;
}

export interface SynapseSettings {
  dir: string;
  name: string;
  port: number;
  defaultRateLimits: boolean;
  registration: Registration;
  cas: string | undefined;
  oauth: OAuthSettings | undefined;
  federation: FederationSettings | undefined;
}

/** An OAuth 2.0 server in the place of matrix-authentication-service: it has the accounts, and Synapse asks it whose a token is. */
export interface OAuthSettings {
  url: string;
  /** What Synapse and it know each other by. */
  secret: string;
}

export interface FederationSettings {
  /** Of 127.0.0.1, with TLS. The server's name is what others find it by, so it names a port that leads here. */
  port: number;
  /** The directory of ca.pem, server.pem and server.key. */
  certificates: string;
}

const generous = { per_second: 1_000_000, burst_count: 1_000_000 };
const generousRateLimits = {
  rc_message: generous,
  rc_registration: generous,
  rc_registration_token_validity: generous,
  rc_login: { address: generous, account: generous, failed_attempts: generous },
  rc_admin_redaction: generous,
  rc_joins: { local: generous, remote: generous },
  rc_joins_per_room: generous,
  rc_key_requests: generous,
  rc_3pid_validation: generous,
  rc_invites: { per_room: generous, per_user: generous, per_issuer: generous },
  rc_third_party_invite: generous,
  rc_media_create: generous,
  rc_presence: { per_user: generous },
  rc_delayed_event_mgmt: generous,
  rc_room_creation: generous,
  rc_reports: generous,
  rc_user_directory: generous,
  rc_profile: generous,
};

/** Reads the directory's secrets, or makes them, with its signing key and log configuration. */
export function secretsOf(dir: string): Secrets {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, "secrets.json");
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  const secret = () => randomBytes(24).toString("base64url");
  const secrets = {
    registrationSharedSecret: secret(),
    macaroonSecretKey: secret(),
    formSecret: secret(),
  };
  const seed = randomBytes(32).toString("base64").replaceAll("=", "");
  writeFileSync(join(dir, "signing.key"), `ed25519 a_first ${seed}\n`, { mode: 0o600 });
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}

/**
 * Writes homeserver.yaml (as JSON, which is YAML) and its log configuration; answers the file's path.
 * One listener on loopback with the client API, and one for other servers where they are wanted; no trusted key
 * servers, no statistics.
 */
export function writeConfig(
  { dir, name, port, defaultRateLimits, registration, cas, oauth, federation }: SynapseSettings,
  secrets: Secrets,
): string {
  const log = {
    version: 1,
    disable_existing_loggers: false,
    handlers: { errors: { class: "logging.StreamHandler", stream: "ext://sys.stderr" } },
    root: { level: "WARNING", handlers: ["errors"] },
  };
  writeFileSync(join(dir, "log.yaml"), JSON.stringify(log));
  const config = {
    server_name: name,
    public_baseurl: `http://127.0.0.1:${port}/`,
    pid_file: join(dir, "homeserver.pid"),
    listeners: [
      { port, type: "http", tls: false, bind_addresses: ["127.0.0.1"], resources: [{ names: ["client"] }] },
      ...(federation ? [federationListener(federation)] : []),
    ],
    database: { name: "sqlite3", args: { database: join(dir, "homeserver.db") } },
    log_config: join(dir, "log.yaml"),
    media_store_path: join(dir, "media"),
    signing_key_path: join(dir, "signing.key"),
    registration_shared_secret: secrets.registrationSharedSecret,
    macaroon_secret_key: secrets.macaroonSecretKey,
    form_secret: secrets.formSecret,
    enable_registration: registration !== "closed",
    registration_requires_token: registration === "token",
    login_via_existing_session: { enabled: true, require_ui_auth: true },
    room_list_publication_rules: [{ action: "allow" }],
    enable_registration_without_verification: registration === "open",
    // A password hash of the usual cost takes a quarter of a second of a small machine, for every user.
    bcrypt_rounds: 4,
    // By default a sync that is asked for again with the same position gets the same answer for two minutes.
    caches: { sync_response_cache_duration: 0 },
    ...(cas && {
      cas_config: { enabled: true, server_url: cas, protocol_version: 3 },
      password_config: { enabled: false },
    }),
    ...(oauth && {
      matrix_authentication_service: { enabled: true, endpoint: oauth.url, secret: oauth.secret },
      password_config: { enabled: false },
      enable_registration: false,
      login_via_existing_session: { enabled: false },
    }),
    report_stats: false,
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    ...(defaultRateLimits ? {} : generousRateLimits),
    ...(federation && federationSettings(federation)),
  };
  const file = join(dir, "homeserver.yaml");
  writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 });
  return file;
}

const federationListener = ({ port }: FederationSettings) => ({
  port,
  type: "http",
  tls: true,
  bind_addresses: ["127.0.0.1"],
  resources: [{ names: ["federation"] }],
});

const federationSettings = ({ certificates }: FederationSettings) => ({
  tls_certificate_path: join(certificates, "server.pem"),
  tls_private_key_path: join(certificates, "server.key"),
  federation_custom_ca_list: [join(certificates, "ca.pem")],
  // By default no server is looked for on loopback.
  ip_range_blacklist: [],
  // A server that did not answer is left alone for ten minutes by default.
  federation: {
    max_long_retry_delay: "1s",
    destination_min_retry_interval: "1s",
    destination_retry_multiplier: 1,
    destination_max_retry_interval: "1s",
  },
});
