import { isIP } from "node:net";
import { mxError } from "@mx-agent/base";
import { type ConnectionLimits, defaultConnectionLimits } from "./http/connections.ts";
import { defaultRateLimits, type RateLimits } from "./http/limits.ts";
import type { Logger } from "./http/server.ts";

/** Who may make an account: nobody, who has a registration token, or everybody. */
export type Registration = "closed" | "token" | "open";

export interface HomeserverOptions {
  /** Port 0 takes a free one. */
  readonly bind: { readonly host: string; readonly port: number };
  /** The directory that keeps everything, or null for a server that forgets all when it stops. */
  readonly dataDir: string | null;
  /** The server's name, the part of user ids after the colon. */
  readonly name: string;
  readonly registration: Registration;
  /** Needed to bind anything but loopback: this server speaks plain HTTP. */
  readonly allowRemote?: boolean;
  /** A reverse proxy on this host says in X-Forwarded-For who asks; nobody else is believed. */
  readonly behindProxy?: boolean;
  /** `null` switches rate limits off, for tests. Left out classes keep their default. */
  readonly rateLimits?: Partial<RateLimits> | null;
  /** What connections may take of time and memory; what is left out keeps its default. */
  readonly connections?: Partial<ConnectionLimits>;
  /** The largest upload, in bytes. */
  readonly maxUploadBytes?: number;
  /** How long an access token lives when the client asked for a refresh token; milliseconds. */
  readonly accessTokenLifetimeMs?: number;
  readonly logger?: Logger;
}

/** The options with everything filled in. */
export interface Settings {
  readonly serverName: string;
  readonly registration: Registration;
  readonly behindProxy: boolean;
  readonly rateLimits: RateLimits | null;
  readonly connections: ConnectionLimits;
  readonly maxUploadBytes: number;
  readonly accessTokenLifetimeMs: number;
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Checks the options (MX_USAGE) and fills in what was left out. */
export function settingsOf(options: HomeserverOptions): { settings: Settings; logger: Logger } {
  if (!/^[A-Za-z0-9.-]{1,200}(:\d{1,5})?$/.test(options.name)) {
    throw usage(`${options.name} is not a server name; use a host name such as localhost`);
  }
  if (!isLoopback(options.bind.host) && options.allowRemote !== true) {
    throw usage(
      `${options.bind.host} is not loopback, and this homeserver speaks plain HTTP: others could read tokens and ` +
        "messages on the way. Put a reverse proxy with TLS in front and say --allow-remote",
    );
  }
  return {
    settings: {
      serverName: options.name,
      registration: options.registration,
      behindProxy: options.behindProxy === true,
      rateLimits: options.rateLimits === null ? null : { ...defaultRateLimits, ...options.rateLimits },
      connections: { ...defaultConnectionLimits, ...options.connections },
      maxUploadBytes: options.maxUploadBytes ?? 50 * 1024 * 1024,
      accessTokenLifetimeMs: options.accessTokenLifetimeMs ?? 60 * 60 * 1000,
    },
    logger: options.logger ?? silent,
  };
}

function usage(detail: string): Error {
  return mxError("MX_USAGE", { detail, command: "homeserver start" });
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}
