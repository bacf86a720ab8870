/** One client of the daemon: greeting, roles, calls and their streams. */
import type { Socket } from "node:net";
import { type MxError, mxError, toMxError } from "@mx-agent/base";
import {
  createJSONRPCErrorResponse,
  createJSONRPCSuccessResponse,
  JSONRPCErrorCode,
  type JSONRPCRequest,
  type JSONRPCResponse,
  JSONRPCServer,
} from "json-rpc-2.0";
import { ServerCall } from "./call.ts";
import type { Handlers, Peer } from "./contract.ts";
import { Link } from "./link.ts";
import { type Input, IPC_VERSION, type MethodName, methodRoles } from "./methods.ts";
import { badParams, errorResponse } from "./rpc-errors.ts";
import { invalidRequest, isRequest } from "./rpc-messages.ts";
import {
  ACK,
  CANCEL,
  type CallId,
  END,
  fieldsOf,
  HELLO,
  ITEM,
  isCallId,
  isCompatible,
  readVersion,
  versionSkew,
  type Welcome,
} from "./wire.ts";

/** Calls that one connection may have in progress. */
const MAX_CALLS = 256;
/** Answers that may wait for a client that does not read before nothing more is read from it. */
const PAUSE_ABOVE_BYTES = 1024 * 1024;

export interface ConnectionOptions {
  handlers: Handlers;
  /** Of mx-agent, for messages. */
  version: string;
  peer: Peer;
  /** Why this peer is not served at all; it is told and sent away. */
  refusal: MxError | undefined;
  onCall: ((call: { method: string; peer: Peer }) => void) | undefined;
  /** Failures that are a bug in us; the client hears MX_INTERNAL. */
  onError(error: unknown, where: { method: string }): void;
  onClosed(connection: Connection): void;
}

/** A call in progress, whatever its method. */
type Incoming = Pick<
  ServerCall<MethodName>,
  "receive" | "endInput" | "acknowledged" | "abort" | "abandon" | "finished"
>;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #link: Link;
  readonly #rpc = new JSONRPCServer({ errorListener: () => {} });
  readonly #calls = new Map<CallId, Incoming>();
  #greeted = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#options = options;
    this.#rpc.mapErrorToJSONRPCErrorResponse = (id, error) => errorResponse(id, error);
    this.#rpc.addMethod(HELLO, (params: unknown) => this.#greet(params));
    for (const method of methodNames())
      this.#rpc.addMethodAdvanced(method, (request) => this.#answer(method, request));
    this.#listenToNotes();
    this.#link = new Link(
      socket,
      {
        payload: (payload, bytes) => this.#receive(payload, bytes),
        garbage: () =>
          this.#post(createJSONRPCErrorResponse(null, JSONRPCErrorCode.ParseError, "Parse error")),
        broken: (error) => {
          this.#post(errorResponse(null, error));
          this.#link.end();
        },
        closed: () => {
          for (const call of this.#calls.values()) call.abandon();
          options.onClosed(this);
        },
      },
      { pauseAbove: PAUSE_ABOVE_BYTES },
    );
  }

  get peer(): Peer {
    return this.#options.peer;
  }

  get runningCalls(): number {
    return this.#calls.size;
  }

  /** Aborts the calls in progress; resolves when each has been answered. */
  async cancelAll(reason: MxError): Promise<void> {
    const calls = [...this.#calls.values()];
    for (const call of calls) call.abort(reason);
    await Promise.all(calls.map((call) => call.finished));
  }

  /** Closes when what was answered is written. */
  end(): void {
    this.#link.end();
  }

  destroy(): void {
    this.#link.destroy();
  }

  #receive(payload: unknown, bytes: number): void {
    const answer = Array.isArray(payload) ? this.#batch(payload) : this.#single(payload, bytes);
    answer.then(
      (response) => {
        if (response) this.#post(response);
      },
      (error) => this.#options.onError(error, { method: "receive" }),
    );
  }

  /** `bytes`: of its JSON. */
  async #single(payload: unknown, bytes: number): Promise<JSONRPCResponse | null> {
    if (isNote(payload, ITEM)) {
      this.#item(payload.params, bytes);
      return null;
    }
    return isRequest(payload) ? this.#rpc.receive(payload) : invalidRequest(payload);
  }

  /** JSON-RPC 2.0, section 6. */
  async #batch(payloads: unknown[]): Promise<JSONRPCResponse | JSONRPCResponse[] | null> {
    if (payloads.length === 0) return invalidRequest(payloads);
    const answers = await Promise.all(payloads.map((payload) => this.#single(payload, jsonBytes(payload))));
    const responses = answers.filter((answer) => answer !== null);
    return responses.length > 0 ? responses : null;
  }

  #greet(params: unknown): Welcome {
    const ours = { version: IPC_VERSION, mx_agent: this.#options.version };
    const hello = fieldsOf(params);
    const version = readVersion(hello.version);
    if (version === undefined)
      throw mxError("MX_PROTOCOL", { detail: "hello without a version", hint: "update the client" });
    if (this.#options.refusal) {
      // After the answer, which is posted when this function has thrown.
      setImmediate(() => this.#link.end());
      throw this.#options.refusal;
    }
    if (!isCompatible(version)) throw versionSkew({ version, mx_agent: String(hello.mx_agent) }, ours);
    this.#greeted = true;
    return { ...ours, pid: process.pid, role: this.#options.peer.role };
  }

  async #answer<M extends MethodName>(method: M, request: JSONRPCRequest): Promise<JSONRPCResponse | null> {
    const { id } = request;
    // Nobody could be answered, nor cancel it.
    if (!isCallId(id)) return null;
    if (this.#calls.has(id)) return invalidRequest(request);
    const refusal = this.#refuse(method);
    if (refusal) return errorResponse(id, refusal);
    this.#options.onCall?.({ method, peer: this.#options.peer });
    const handler = this.#options.handlers[method];
    const call = new ServerCall<M>(id, inputParser(handler), (note) => this.#link.post(note));
    try {
      this.#calls.set(id, call);
      const params = parsed(method, () => handler.parse(request.params));
      const result = await handler.handle(params, call.context(this.#options.peer));
      await call.flushed();
      return createJSONRPCSuccessResponse(id, result ?? null);
    } catch (thrown) {
      await call.flushed();
      const error = call.abortedBy ?? thrown;
      if (toMxError(error).code === "MX_INTERNAL") this.#options.onError(error, { method });
      return errorResponse(id, error);
    } finally {
      call.finish();
      this.#calls.delete(id);
    }
  }

  #refuse(method: MethodName): MxError | undefined {
    if (!this.#greeted)
      return mxError("MX_PROTOCOL", {
        detail: `the first request must be ${HELLO}`,
        hint: "update the client",
      });
    if (methodRoles[method] === "operator" && this.#options.peer.role !== "operator")
      return mxError("MX_ROLE", { method });
    if (this.#calls.size >= MAX_CALLS)
      return mxError("MX_PROTOCOL", {
        detail: `more than ${MAX_CALLS} calls at once on one connection`,
        hint: "wait for some to end",
      });
    return undefined;
  }

  #item(params: unknown, bytes: number): void {
    const { id, item } = fieldsOf(params);
    const call = isCallId(id) ? this.#calls.get(id) : undefined;
    // A call that has just ended; the client cannot know yet.
    if (call === undefined) return;
    try {
      call.receive(item, bytes);
    } catch (error) {
      call.abort(toMxError(error));
    }
  }

  #listenToNotes(): void {
    this.#onNote(ACK, (call, { bytes }) => {
      if (typeof bytes === "number") call.acknowledged(bytes);
    });
    this.#onNote(END, (call) => call.endInput());
    this.#onNote(CANCEL, (call) => call.abort(mxError("MX_CANCELLED")));
  }

  #onNote(name: string, take: (call: Incoming, params: Record<string, unknown>) => void): void {
    this.#rpc.addMethodAdvanced(name, async (request) => {
      const params = fieldsOf(request.params);
      const call = isCallId(params.id) ? this.#calls.get(params.id) : undefined;
      if (call) take(call, params);
      return null;
    });
  }

  #post(response: JSONRPCResponse | JSONRPCResponse[]): void {
    try {
      this.#link.post(response);
    } catch (error) {
      const id = Array.isArray(response) ? null : response.id;
      this.#link.post(errorResponse(id, error));
    }
  }
}

/** Of a message that came in one frame with others. */
function jsonBytes(payload: unknown): number {
  return Buffer.byteLength(JSON.stringify(payload));
}

function isNote(payload: unknown, name: string): payload is JSONRPCRequest {
  return isRequest(payload) && payload.method === name && payload.id === undefined;
}

/** undefined for a method that takes no items. */
function inputParser<M extends MethodName>(handler: Handlers[M]): ((item: unknown) => Input<M>) | undefined {
  return takesInput(handler) ? (item) => handler.parseInput(item) : undefined;
}

function takesInput<M extends MethodName>(
  handler: Handlers[M],
): handler is Handlers[M] & { parseInput(item: unknown): Input<M> } {
  return "parseInput" in handler;
}

function parsed<P>(method: string, parse: () => P): P {
  try {
    return parse();
  } catch (error) {
    throw badParams(method, error);
  }
}

function methodNames(): MethodName[] {
  const isMethod = (name: string): name is MethodName => Object.hasOwn(methodRoles, name);
  return Object.keys(methodRoles).filter(isMethod);
}
