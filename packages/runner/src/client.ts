/** The daemon's end of the runner's socket. */
import { connect as connectSocket, type Socket } from "node:net";
import { errorFromJson, FrameDecoder, failpoint, mxError, toMxError } from "@mx-agent/base";
import {
  RUNNER_VERSION,
  type RunnerClient,
  type RunnerEvents,
  type RunSpec,
  type RunState,
  type RunStream,
} from "./api.ts";
import {
  compatible,
  decodeMessage,
  encodeMessage,
  type MethodName,
  type Methods,
  type Request,
} from "./wire.ts";

/** Connects to the runner that listens at `socket`. MX_NOT_RUNNING, MX_VERSION_SKEW. */
export async function connectRunner(socket: string): Promise<RunnerClient> {
  const client = new Client(await open(socket));
  try {
    await client.greet();
    return client;
  } catch (error) {
    client.close();
    throw error;
  }
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error) => reject(notRunning(error.message, error)));
  });
}

interface Waiting {
  resolve: (answer: { result: unknown; payload: Buffer }) => void;
  reject: (error: unknown) => void;
}

class Client implements RunnerClient {
  pid = 0;
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: { [E in keyof RunnerEvents]: RunnerEvents[E][] } = {
    output: [],
    ended: [],
    closed: [],
  };
  #next = 1;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#take(bytes));
    // `close` follows, and tells everybody.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#closed());
  }

  async greet(): Promise<void> {
    const { result } = await this.#call("hello", { version: RUNNER_VERSION });
    const theirs = result.version;
    if (!compatible(theirs, RUNNER_VERSION))
      throw mxError("MX_VERSION_SKEW", {
        ours: "the daemon",
        our_version: `${RUNNER_VERSION.major}.${RUNNER_VERSION.minor}`,
        theirs: "the runner",
        their_version: `${theirs.major}.${theirs.minor}`,
        restart:
          "it ends when what it runs has ended; `mx-agent down --cancel`, by the version that started it, ends that now",
      });
    this.pid = result.pid;
  }

  on<E extends keyof RunnerEvents>(event: E, listener: RunnerEvents[E]): void {
    const listeners: RunnerEvents[E][] = this.#listeners[event];
    listeners.push(listener);
  }

  async start(spec: RunSpec): Promise<RunState> {
    return (await this.#call("start", { spec })).result.state;
  }

  async stdin(
    run_id: string,
    offset: number,
    data: Uint8Array,
    eof: boolean,
  ): Promise<{ stdin_bytes: number }> {
    return (await this.#call("stdin", { run_id, offset, eof }, data)).result;
  }

  async read(run_id: string, stream: RunStream, offset: number, max_bytes: number): Promise<Uint8Array> {
    return (await this.#call("read", { run_id, stream, offset, max_bytes })).payload;
  }

  async cancel(run_id: string, grace_ms?: number): Promise<void> {
    await this.#call("cancel", { run_id, grace_ms: grace_ms ?? null });
  }

  async list(): Promise<RunState[]> {
    return (await this.#call("list", {})).result.runs;
  }

  async forget(run_id: string): Promise<void> {
    await this.#call("forget", { run_id });
  }

  /** Resolves when the runner has let go of the connection. */
  async shutdown(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    await this.#call("shutdown", {});
    await closed;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #call<M extends MethodName>(
    method: M,
    params: Methods[M]["params"],
    payload?: Uint8Array,
  ): Promise<{ result: Methods[M]["result"]; payload: Buffer }> {
    if (this.#socket.destroyed) throw notRunning("the connection is closed");
    const id = this.#next++;
    const request: { id: number; method: M; params: Methods[M]["params"] } = { id, method, params };
    const frame = encodeMessage(request as Request, payload);
    const answer = new Promise<{ result: unknown; payload: Buffer }>((resolve, reject) =>
      this.#waiting.set(id, { resolve, reject }),
    );
    failpoint("to_runner.before_send");
    this.#socket.write(frame);
    failpoint("to_runner.after_send");
    // The runner is this same program; its answers are not parsed again.
    return (await answer) as { result: Methods[M]["result"]; payload: Buffer };
  }

  #take(bytes: Buffer): void {
    try {
      for (const body of this.#decoder.push(bytes)) this.#receive(body);
    } catch (error) {
      this.#socket.destroy();
      for (const waiting of this.#drain()) waiting.reject(toMxError(error));
    }
  }

  #receive(body: Buffer): void {
    const { message, payload } = decodeMessage(body);
    if (typeof message !== "object" || message === null) return;
    if ("event" in message) {
      this.#deliver({ ...message });
      return;
    }
    if (!("id" in message) || typeof message.id !== "number") return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ("error" in message)
      waiting?.reject(
        errorFromJson(message.error) ?? mxError("MX_INTERNAL", { detail: "an unreadable error" }),
      );
    else waiting?.resolve({ result: "result" in message ? message.result : null, payload });
  }

  #deliver(message: Record<string, unknown>): void {
    const { event, run_id, stream, bytes, end } = message as {
      event: unknown;
      run_id: string;
      stream: RunStream;
      bytes: number;
      end: Parameters<RunnerEvents["ended"]>[1];
    };
    if (event === "output") for (const listener of this.#listeners.output) listener(run_id, stream, bytes);
    if (event === "ended") for (const listener of this.#listeners.ended) listener(run_id, end);
  }

  #closed(): void {
    for (const waiting of this.#drain()) waiting.reject(notRunning("it closed the connection"));
    for (const listener of this.#listeners.closed) listener();
  }

  #drain(): Waiting[] {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    return waiting;
  }
}

export function notRunning(detail: string, cause?: unknown): Error {
  return mxError("MX_NOT_RUNNING", { what: "the runner", hint: detail }, { cause });
}
