import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, finished } from "node:stream";
import { limited } from "./errors.ts";

/** What clients may take of the server's time and memory, whatever they send or do not read. */
export interface ConnectionLimits {
  /** Of more, the new ones are dropped. */
  readonly connections: number;
  /** How long a request's head may take; milliseconds. */
  readonly headersMs: number;
  /** How long a whole request may take; milliseconds. */
  readonly requestMs: number;
  /** How long an answer may wait to be fetched (milliseconds), beside the time that the slowest reader needs. */
  readonly readMs: number;
  /** The slowest reader: bytes per second. */
  readonly readRate: number;
  /** How many requests may wait on one connection for the answer to the one before. */
  readonly pipelined: number;
  /** Answers that their readers have not fetched yet, all together; bytes. */
  readonly unreadBytes: number;
  /** Bodies that are on their way in, of strangers all together and of users all together; bytes. */
  readonly strangersBytes: number;
  readonly usersBytes: number;
}

const MIB = 1024 * 1024;

export const defaultConnectionLimits: ConnectionLimits = {
  connections: 5_000,
  headersMs: 15_000,
  requestMs: 120_000,
  readMs: 30_000,
  readRate: 32 * 1024,
  pipelined: 32,
  unreadBytes: 128 * MIB,
  strangersBytes: 32 * MIB,
  usersBytes: 128 * MIB,
};

const KEEP_ALIVE_MS = 65_000;
const MAX_HEADERS = 100;
/** How often node looks for requests that take too long. */
export const checkEveryMs = (limits: ConnectionLimits): number => Math.min(5_000, limits.headersMs);

export function limitConnections(server: Server, limits: ConnectionLimits): void {
  server.maxConnections = limits.connections;
  server.headersTimeout = limits.headersMs;
  server.requestTimeout = limits.requestMs;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.maxHeadersCount = MAX_HEADERS;
}

/** The requests of one connection. */
interface Line {
  waiting: number;
  /** The answer to the request that came last. */
  newest: ServerResponse | undefined;
  /** Resolves when it is out, and when those before it are. */
  last: Promise<void>;
  before: Promise<void>;
}

const newLine = (): Line => ({
  waiting: 0,
  newest: undefined,
  last: Promise.resolve(),
  before: Promise.resolve(),
});

/**
 * One request after another on each connection. node:http hands over all that a client pipelined at once,
 * and would keep all of the answers until the first is read.
 */
export class Turns {
  readonly #max: number;
  readonly #lines = new WeakMap<Duplex, Line>();
  readonly #ending = new WeakSet<Duplex>();

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Ends a connection by `work`, once, when the answers to what came in full before are out. It is given the answer to the
   * request that was still on its way, if one was.
   */
  end(socket: Duplex, work: (unfinished?: ServerResponse) => void): void {
    if (this.#ending.has(socket)) return;
    this.#ending.add(socket);
    const line = this.#lines.get(socket);
    if (line?.newest === undefined) work();
    else if (line.newest.req.complete) void line.last.then(() => work());
    else void line.before.then(() => work(line.newest));
  }

  /** Runs `work` when the connection's earlier answers are out; cuts off who does not wait for any. */
  take(socket: Socket, response: ServerResponse, work: () => Promise<void>): void {
    const line = this.#lines.get(socket) ?? newLine();
    this.#lines.set(socket, line);
    if (line.waiting > this.#max) {
      socket.destroy();
      return;
    }
    line.waiting += 1;
    line.newest = response;
    line.before = line.last;
    line.last = line.last.then(async () => {
      if (socket.destroyed) return;
      await work();
      await new Promise<void>((resolve) => finished(response, () => resolve()));
      line.waiting -= 1;
    });
  }
}

/**
 * Answers on their way out. Whoever fetches one too slowly is cut off; and when they take too much memory, those who
 * have had theirs waiting for longest.
 */
export class UnreadAnswers {
  readonly #limits: ConnectionLimits;
  /** Those that take memory, the oldest first. */
  readonly #answers = new Map<ServerResponse, number>();
  #bytes = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** `size` is the whole answer's, `kept` is what of it is in memory; bytes. */
  add(response: ServerResponse, size: number, kept: number): void {
    // By the clock, not by what moves on the socket: that could be what the client still sends.
    const patience = this.#limits.readMs + (size / this.#limits.readRate) * 1_000;
    const timer = setTimeout(() => response.destroy(), patience).unref();
    finished(response, () => {
      clearTimeout(timer);
      this.#remove(response);
    });
    if (kept === 0) return;
    this.#answers.set(response, kept);
    this.#bytes += kept;
    for (const oldest of this.#answers.keys()) {
      if (this.#bytes <= this.#limits.unreadBytes || oldest === response) return;
      this.#remove(oldest);
      oldest.destroy();
    }
  }

  #remove(response: ServerResponse): void {
    this.#bytes -= this.#answers.get(response) ?? 0;
    this.#answers.delete(response);
  }
}

/** Memory for the bodies that are on their way in. */
export class BodyMemory {
  readonly #max: number;
  #bytes = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes so many bytes, or M_LIMIT_EXCEEDED; whoever took them gives them back. */
  take(bytes: number): void {
    if (this.#bytes + bytes > this.#max) throw limited(1_000);
    this.#bytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }
}
