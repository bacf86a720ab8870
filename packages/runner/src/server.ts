/** The runner's socket: who may connect, what they may ask, and what they are told. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { FrameDecoder, failpoint, MxError, mxError, toMxError } from "@mx-agent/base";
import { RUNNER_VERSION, type RunEnd, type RunStream } from "./api.ts";
import type { Native } from "./native.ts";
import { parseRequest, requestId } from "./request.ts";
import type { RunListener } from "./run.ts";
import type { Runs } from "./runs.ts";
import { compatible, decodeMessage, encodeMessage, type Request, type RunnerVersion } from "./wire.ts";

const LOOK_MS = 2_000;

export interface ServerOptions {
  native: Native | string;
  log: (line: string) => void;
  /** Called for `shutdown`, after which nothing else is answered. */
  shutdown: () => Promise<void>;
}

export class RunnerServer implements RunListener {
  readonly #options: ServerOptions;
  #server: Server;
  #keeping: NodeJS.Timeout | undefined;
  readonly #connections = new Set<Connection>();
  #runs: Runs | null = null;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Listens at `path`, which nobody but this user can reach. What was there is removed: the lock is ours. */
  async listen(path: string, runs: Runs): Promise<void> {
    this.#runs = runs;
    await this.#bind(path);
    this.#keeping = setInterval(() => this.#restore(path), LOOK_MS).unref();
  }

  #bind(path: string): Promise<void> {
    const listening = once(this.#server, "listening").then(() => undefined);
    // The socket gets its mode when it is made, inside of this call: no child is started under this mask.
    const before = process.umask(0o177);
    try {
      this.#server.listen(path);
    } finally {
      process.umask(before);
    }
    return listening;
  }

  /** Listens again where somebody removed the socket's file, as a cleaner of temporary files does: a later daemon is to find it. */
  #restore(path: string): void {
    if (existsSync(path) || !existsSync(dirname(path))) return;
    // First, because it removes what is at its path. Its connections stay.
    this.#server.close();
    this.#server = createServer((socket) => this.#accept(socket));
    this.#bind(path).catch((error: Error) =>
      this.#options.log(`the socket was removed, and cannot be made again: ${error.message}`),
    );
  }

  output(run_id: string, stream: RunStream, bytes: number): void {
    for (const connection of this.#connections) connection.output(run_id, stream, bytes);
  }

  ended(run_id: string, end: RunEnd): void {
    for (const connection of this.#connections) connection.ended(run_id, end);
  }

  /** Stops listening, and closes every connection once what it was told is out. */
  async close(): Promise<void> {
    clearInterval(this.#keeping);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.close();
    await closed;
  }

  #accept(socket: Socket): void {
    const refused = refusedPeer(socket, this.#options.native);
    if (refused !== null) {
      this.#options.log(refused);
      socket.destroy();
      return;
    }
    const runs = this.#runs;
    if (runs === null) return void socket.destroy();
    const connection = new Connection(socket, (request, payload, from) =>
      this.#answer(runs, request, payload, from),
    );
    this.#connections.add(connection);
    socket.on("error", (error) => this.#options.log(`a client's connection failed: ${error.message}`));
    socket.on("close", () => this.#connections.delete(connection));
  }

  async #answer(runs: Runs, request: Request, payload: Buffer, from: Connection): Promise<Answer> {
    switch (request.method) {
      case "hello":
        from.greet(request.params.version);
        return { result: { version: RUNNER_VERSION, pid: process.pid } };
      case "start":
        return { result: { state: await runs.start(request.params.spec) } };
      case "stdin": {
        const { run_id, offset, eof } = request.params;
        return { result: { stdin_bytes: await runs.stdin(run_id, offset, payload, eof) } };
      }
      case "read": {
        const { run_id, stream, offset, max_bytes } = request.params;
        return { result: {}, payload: await runs.read(run_id, stream, offset, max_bytes) };
      }
      case "cancel":
        await runs.cancel(request.params.run_id, request.params.grace_ms);
        return { result: {} };
      case "list":
        return { result: { runs: await runs.list() } };
      case "forget":
        await runs.forget(request.params.run_id);
        return { result: {} };
      case "shutdown":
        await this.#options.shutdown();
        return { result: {} };
    }
  }
}

interface Answer {
  result: unknown;
  payload?: Buffer;
}

type Answerer = (request: Request, payload: Buffer, from: Connection) => Promise<Answer>;

/** One client. Output events that it is too slow for are merged: each carries the whole length. */
class Connection {
  readonly #socket: Socket;
  readonly #answer: Answerer;
  readonly #decoder = new FrameDecoder();
  readonly #merged = new Map<string, { run_id: string; stream: RunStream; bytes: number }>();
  #greeted = false;

  constructor(socket: Socket, answer: Answerer) {
    this.#socket = socket;
    this.#answer = answer;
    socket.on("data", (bytes) => this.#take(bytes));
    socket.on("drain", () => this.#flush());
  }

  greet(version: RunnerVersion): void {
    this.#greeted = compatible(version, RUNNER_VERSION);
  }

  output(run_id: string, stream: RunStream, bytes: number): void {
    if (!this.#greeted) return;
    this.#merged.set(`${run_id} ${stream}`, { run_id, stream, bytes });
    if (!this.#socket.writableNeedDrain) this.#flush();
  }

  ended(run_id: string, end: RunEnd): void {
    if (!this.#greeted) return;
    this.#flush();
    this.#send(encodeMessage({ event: "ended", run_id, end }));
  }

  close(): void {
    this.#socket.destroySoon();
  }

  #flush(): void {
    for (const output of this.#merged.values()) this.#send(encodeMessage({ event: "output", ...output }));
    this.#merged.clear();
  }

  #take(bytes: Buffer): void {
    try {
      for (const body of this.#decoder.push(bytes)) void this.#serve(body);
    } catch (error) {
      // Whatever comes after a frame that can't be read means nothing.
      this.#socket.destroy(error instanceof Error ? error : undefined);
    }
  }

  async #serve(body: Buffer): Promise<void> {
    let id = 0;
    try {
      const { message, payload } = decodeMessage(body);
      id = requestId(message);
      const request = parseRequest(message);
      if (!this.#greeted && request.method !== "hello")
        throw mxError("MX_PROTOCOL", { detail: `${request.method} before a matching hello`, hint: "" });
      const { result, payload: bytes } = await this.#answer(request, payload, this);
      this.#send(encodeMessage({ id, result }, bytes));
    } catch (error) {
      const known = error instanceof MxError ? error : toMxError(error);
      this.#send(encodeMessage({ id, error: known.toJSON() }));
    }
  }

  #send(frame: Buffer): void {
    if (this.#socket.destroyed) return;
    failpoint("runner.send.before");
    this.#socket.write(frame);
    failpoint("runner.send.after");
  }
}

/** Why a peer is turned away; null where it may stay. The socket's mode alone lets nobody else in but root. */
function refusedPeer(socket: Socket, native: Native | string): string | null {
  const handle: { _handle?: { fd?: number } | null } = Object(socket);
  const fd = handle._handle?.fd;
  if (typeof native === "string" || fd === undefined) return null;
  const peer = native.peer(fd);
  if (peer === null || peer.uid === process.getuid?.() || peer.uid === 0) return null;
  return `uid ${peer.uid} (pid ${peer.pid}) was turned away`;
}
