import { createReadStream } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { version } from "@mx-agent/base";
import { clientAddress } from "./address.ts";
import { readBody } from "./body.ts";
import {
  BodyMemory,
  type ConnectionLimits,
  checkEveryMs,
  limitConnections,
  Turns,
  UnreadAnswers,
} from "./connections.ts";
import { MatrixError } from "./errors.ts";
import { type JsonObject, parseBody } from "./json.ts";
import type { RateLimiter } from "./limits.ts";
import { refuseMalformed } from "./malformed.ts";
import { ApiRequest, Download, Reply, type Session } from "./request.ts";
import type { Route, Router } from "./router.ts";

/** What the listener needs from the rest of the server. */
export interface HttpParts {
  readonly router: Router;
  readonly limiter: RateLimiter;
  readonly logger: Logger;
  readonly connections: ConnectionLimits;
  readonly behindProxy: boolean;
  /** The session of a token; throws M_UNKNOWN_TOKEN. */
  authenticate(token: string, ip: string): Session;
  /** Resolves when everything that a handler saw or wrote is on disk. */
  durable(): Promise<void>;
}

/** What pino offers, and a test can too. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const commonHeaders = {
  Server: `mx-agent/${version()}`,
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
  "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
} as const;

/** The parts, and what is shared by all connections. */
interface Listener extends HttpParts {
  readonly unread: UnreadAnswers;
  readonly memory: { readonly strangers: BodyMemory; readonly users: BodyMemory };
}

/** A node:http server whose answers are those of the router's handlers. */
export function createHttpServer(parts: HttpParts): Server {
  const { connections } = parts;
  const listener: Listener = {
    ...parts,
    unread: new UnreadAnswers(connections),
    memory: {
      strangers: new BodyMemory(connections.strangersBytes),
      users: new BodyMemory(connections.usersBytes),
    },
  };
  const turns = new Turns(connections.pipelined);
  // A request without a host is refused below, with a body, which node:http would not give it.
  const options = { connectionsCheckingInterval: checkEveryMs(connections), requireHostHeader: false };
  const answer = (request: IncomingMessage, response: ServerResponse) =>
    turns.take(request.socket, response, () =>
      exchange(listener, request, response).catch((error: unknown) => {
        parts.logger.error({ error: String(error) }, "an answer could not be sent");
        response.destroy();
      }),
    );
  const server = createServer(options, answer);
  // What a client expects besides is for it to see in the answer.
  server.on("checkExpectation", answer);
  server.on("clientError", (error, socket) =>
    turns.end(socket, (unfinished) => refuseMalformed(error, socket, unfinished)),
  );
  limitConnections(server, connections);
  return server;
}

async function exchange(parts: Listener, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.on("error", () => {
    // The client went away; onClosed tells whoever waits.
  });
  // What follows would be read as another protocol: nobody shall wait for an answer to that here.
  if (request.headers.upgrade !== undefined) response.setHeader("Connection", "close");
  try {
    const answer = await answerTo(parts, request, response);
    await parts.durable();
    send(parts, response, answer);
  } catch (error) {
    // Bytes that nobody will read must not pass for the next request of this connection.
    if (!request.complete) response.setHeader("Connection", "close");
    if (error instanceof MatrixError) {
      const retry = error.extra.retry_after_ms;
      const headers = typeof retry === "number" ? { "Retry-After": String(Math.ceil(retry / 1000)) } : {};
      await parts.durable().catch(() => {});
      send(parts, response, new Reply(error.status, error, headers));
    } else {
      parts.logger.error(
        {
          method: request.method,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        },
        "a request failed",
      );
      send(
        parts,
        response,
        new Reply(500, { errcode: "M_UNKNOWN", error: "the homeserver failed; see its log" }),
      );
    }
    if (!request.complete) request.resume();
  }
}

async function answerTo(
  parts: Listener,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<unknown> {
  if (request.headers.host === undefined && request.httpVersion !== "1.0") {
    throw new MatrixError(400, "M_UNKNOWN", "the request names no host");
  }
  if (request.method === "OPTIONS") return new Reply(200, {});
  const url = request.url ?? "/";
  const mark = url.indexOf("?");
  const path = (mark < 0 ? url : url.slice(0, mark)).replace(
    /^\/_matrix\/(client|media)\/r0\//,
    "/_matrix/$1/v3/",
  );
  const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
  const { route, params } = findRoute(parts, request.method ?? "", path);
  const ip = clientAddress(request, parts.behindProxy);
  const session = sessionOf(parts, route, request, query, ip);
  if (route.limit !== undefined) parts.limiter.take(route.limit, session?.userId ?? ip);
  const body = await bodyOf(
    route,
    request,
    session === undefined ? parts.memory.strangers : parts.memory.users,
  );
  return await route.handler(
    new ApiRequest({
      raw: request,
      path,
      params,
      query,
      body,
      session,
      ip,
      onClosed: (callback) => {
        if (response.destroyed) callback();
        else response.once("close", callback);
      },
    }),
  );
}

function findRoute(parts: HttpParts, method: string, path: string): ReturnType<Router["find"]> {
  try {
    const found = parts.router.find(method === "HEAD" ? "GET" : method, path);
    parts.logger.debug({ method, pattern: found.route.pattern }, "request");
    return found;
  } catch (error) {
    parts.logger.debug({ method, path }, "a request that is not known");
    throw error;
  }
}

function sessionOf(
  parts: HttpParts,
  route: Route,
  request: IncomingMessage,
  query: URLSearchParams,
  ip: string,
): Session | undefined {
  if (route.auth === "none") return undefined;
  const token = tokenOf(request.headers.authorization, query.get("access_token"));
  if (token === undefined || token === "") {
    if (route.auth === "optional") return undefined;
    throw new MatrixError(401, "M_MISSING_TOKEN", "an access token is needed");
  }
  return parts.authenticate(token, ip);
}

/**
 * The access token of a request. One in the query string is deprecated, and a server has to take it still
 * ("Using access tokens"); beside a header it is refused (M_MISSING_TOKEN), since the two may differ. Queries
 * are never logged.
 */
function tokenOf(header: string | undefined, inQuery: string | null): string | undefined {
  if (header === undefined) return inQuery ?? undefined;
  if (inQuery !== null) {
    throw new MatrixError(
      401,
      "M_MISSING_TOKEN",
      "the access token comes in a header or in the query, not in both",
    );
  }
  return header.startsWith("Bearer ") ? header.slice(7) : undefined;
}

async function bodyOf(route: Route, request: IncomingMessage, memory: BodyMemory): Promise<JsonObject> {
  if (route.body === "none" || route.body === "raw") return {};
  const bytes = await readBody(request, route.maxBodyBytes, memory);
  return bytes.length === 0 && route.body === "optional" ? {} : parseBody(bytes);
}

function send(parts: Listener, response: ServerResponse, answer: unknown): void {
  if (response.destroyed || response.headersSent) return;
  if (answer instanceof Download) {
    response.writeHead(200, { ...commonHeaders, ...answer.headers, "Content-Length": answer.size });
    parts.unread.add(response, answer.size, 0);
    const file = createReadStream(answer.path);
    file.on("error", () => response.destroy());
    response.on("close", () => file.destroy());
    file.pipe(response);
    return;
  }
  const reply = answer instanceof Reply ? answer : new Reply(200, answer);
  const text = Buffer.from(JSON.stringify(reply.body));
  parts.unread.add(response, text.length, text.length);
  response.writeHead(reply.status, {
    ...commonHeaders,
    "Content-Type": "application/json",
    "Content-Length": text.length,
    ...reply.headers,
  });
  response.end(text);
}
