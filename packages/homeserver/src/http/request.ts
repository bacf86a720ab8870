import type { IncomingMessage } from "node:http";
import { invalidParam, MatrixError } from "./errors.ts";
import type { JsonObject } from "./json.ts";

/** Who asks: the owner of the access token that came with the request. */
export interface Session {
  readonly userId: string;
  readonly deviceId: string;
  readonly tokenHash: string;
}

/** One request as the API sees it: routed, authenticated, parsed. */
export class ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: JsonObject;
  readonly ip: string;
  /** The request itself, for bodies that are not JSON. */
  readonly raw: IncomingMessage;
  readonly #params: ReadonlyMap<string, string>;
  readonly #session: Session | undefined;
  readonly #onClosed: (callback: () => void) => void;

  constructor(parts: {
    raw: IncomingMessage;
    path: string;
    params: ReadonlyMap<string, string>;
    query: URLSearchParams;
    body: JsonObject;
    session: Session | undefined;
    ip: string;
    onClosed: (callback: () => void) => void;
  }) {
    this.raw = parts.raw;
    this.method = parts.raw.method ?? "GET";
    this.path = parts.path;
    this.#params = parts.params;
    this.query = parts.query;
    this.body = parts.body;
    this.#session = parts.session;
    this.ip = parts.ip;
    this.#onClosed = parts.onClosed;
  }

  /** A decoded segment of the path. */
  param(name: string): string {
    const value = this.#params.get(name);
    if (value === undefined) throw invalidParam(`${name} is missing in the path`);
    return value;
  }

  get session(): Session {
    if (this.#session === undefined) {
      throw new MatrixError(401, "M_MISSING_TOKEN", "an access token is needed");
    }
    return this.#session;
  }

  get userId(): string {
    return this.session.userId;
  }

  get authenticated(): boolean {
    return this.#session !== undefined;
  }

  /** Calls back when the client goes away before it was answered. */
  onClosed(callback: () => void): void {
    this.#onClosed(callback);
  }
}

/** An answer that is more than a JSON body with status 200. */
export class Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: unknown, headers: Record<string, string> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** Bytes to send as they are, with their own headers. */
export class Download {
  readonly path: string;
  readonly size: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(path: string, size: number, headers: Record<string, string>) {
    this.path = path;
    this.size = size;
    this.headers = headers;
  }
}
