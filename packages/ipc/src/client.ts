/** A caller's end of a socket of the daemon. Loads nothing but the framing and json-rpc-2.0. */
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { type MxError, mxError, toMxError } from "@mx-agent/base";
import { JSONRPCClient } from "json-rpc-2.0/dist/client.js";
import type { JSONRPCResponse } from "json-rpc-2.0/dist/models.js";
import { ClientCall } from "./client-call.ts";
import type { ActiveCall } from "./contract.ts";
import { dial } from "./dial.ts";
import { Link } from "./link.ts";
import { IPC_VERSION, type MethodName, type Params, type Role } from "./methods.ts";
import { errorOfResponse } from "./rpc-errors.ts";
import { isRequest, isResponse } from "./rpc-messages.ts";
import {
  ACK,
  type CallId,
  fieldsOf,
  HELLO,
  ITEM,
  isCallId,
  isCompatible,
  readVersion,
  versionSkew,
} from "./wire.ts";

export type { ActiveCall } from "./contract.ts";
export { methodRoles } from "./methods.ts";

export interface ConnectOptions {
  socket: string;
  /** Of the mx-agent that calls; for messages. */
  version: string;
  /** How long the daemon may take to greet, in milliseconds; by default 10,000. */
  greeting_ms?: number;
}

export interface IpcClient {
  readonly daemon: { pid: number; version: string; role: Role };
  call<M extends MethodName>(method: M, params: Params<M>): ActiveCall<M>;
  /** Calls in progress end with MX_DAEMON_UNREACHABLE. */
  close(): void;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
}

/**
 * Connects and greets. MX_SOCKET_FORBIDDEN where a sandbox around this process forbids it,
 * MX_DAEMON_UNREACHABLE where nobody answers, MX_DAEMON_SILENT where somebody is and does not, MX_VERSION_SKEW where an older side must be restarted,
 * MX_PEER_UID and MX_PEER_STARTED_HERE where the daemon does not serve this process.
 */
export async function connect(options: ConnectOptions): Promise<IpcClient> {
  const client = new Client(await dial(options.socket), options);
  await client.greeted;
  return client;
}

/**
 * As `connect`, without waiting for the greeting: the first call travels with it, and fails as `connect`
 * would. Until a call was answered `daemon` says nothing.
 */
export async function open(options: ConnectOptions): Promise<IpcClient> {
  return new Client(await dial(options.socket), options);
}

/** What arrives for a call, as unknown as it comes. */
type Incoming = Pick<ClientCall<MethodName>, "receive" | "acknowledged">;

class Client implements IpcClient {
  readonly #options: ConnectOptions;
  readonly #link: Link;
  readonly #rpc: JSONRPCClient;
  readonly #calls = new Map<CallId, Incoming>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #lost = Promise.withResolvers<never>();
  #nextId = 1;
  daemon: IpcClient["daemon"] = { pid: 0, version: "", role: "agent" };
  /** Until then nothing that arrives is anybody's answer. */
  readonly greeted: Promise<void>;

  constructor(socket: Socket, options: ConnectOptions) {
    this.#options = options;
    this.#lost.promise.catch(() => {});
    this.#link = new Link(socket, {
      payload: (payload, bytes) => this.#receive(payload, bytes),
      garbage: () => this.#fail("it sent something that is not JSON"),
      broken: (error) => this.#fail(error.message),
      closed: (error) => {
        this.#fail(error?.message ?? "the connection was closed");
        this.#closed.resolve();
      },
    });
    this.#rpc = new JSONRPCClient((payload: object) => {
      this.#link.post(payload);
    });
    this.greeted = this.#greet().catch((error) => {
      this.close();
      throw error;
    });
    this.greeted.catch(() => {});
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  async #greet(): Promise<void> {
    const ours = { version: IPC_VERSION, mx_agent: this.#options.version };
    const limit = this.#options.greeting_ms ?? 10_000;
    const { socket } = this.#options;
    const silent = { socket, seconds: limit / 1000, notice: join(dirname(socket), "daemon.json") };
    const timer = setTimeout(() => this.#lose(mxError("MX_DAEMON_SILENT", silent)), limit);
    let response: JSONRPCResponse;
    try {
      response = await this.#request(HELLO, 0, ours);
    } finally {
      clearTimeout(timer);
    }
    if (response.error) throw errorOfResponse(HELLO, response.error);
    const welcome = fieldsOf(response.result);
    const version = readVersion(welcome.version);
    if (version === undefined)
      throw mxError("MX_PROTOCOL", { detail: "the daemon greets without a version", hint: "restart it" });
    const mx_agent = String(welcome.mx_agent);
    if (!isCompatible(version)) throw versionSkew(ours, { version, mx_agent });
    const role = welcome.role === "operator" ? "operator" : "agent";
    this.daemon = { pid: Number(welcome.pid), version: mx_agent, role };
  }

  call<M extends MethodName>(method: M, params: Params<M>): ActiveCall<M> {
    const id = this.#nextId++;
    const call = new ClientCall<M>(id, (note) => this.#link.post(note));
    this.#calls.set(id, call);
    const answer = this.#request(method, id, params);
    answer.catch(() => {});
    this.greeted
      .then(() => answer)
      .then((response) => {
        if (response.error) call.failed(errorOfResponse(method, response.error));
        else call.answered(response.result);
      })
      .catch((error: unknown) => call.lost(error))
      .finally(() => this.#calls.delete(id));
    return call;
  }

  close(): void {
    this.#link.end();
    this.#fail("the connection was closed here");
  }

  #request(method: string, id: CallId, params: unknown): Promise<JSONRPCResponse> {
    const answer = Promise.resolve(this.#rpc.requestAdvanced({ jsonrpc: "2.0", id, method, params }));
    return Promise.race([answer, this.#lost.promise]);
  }

  #receive(payload: unknown, bytes: number): void {
    if (isResponse(payload)) {
      // An answer to nothing in particular: the daemon could not read what we sent.
      if (payload.id === null) this.#fail(payload.error?.message ?? "it answered nothing that was asked");
      else this.#rpc.receive(payload);
      return;
    }
    if (!isRequest(payload)) return;
    const params = fieldsOf(payload.params);
    const call = isCallId(params.id) ? this.#calls.get(params.id) : undefined;
    if (call === undefined) return;
    if (payload.method === ITEM) this.#item(call, params.item, bytes);
    else if (payload.method === ACK && typeof params.bytes === "number") call.acknowledged(params.bytes);
  }

  #item(call: Incoming, item: unknown, bytes: number): void {
    try {
      call.receive(item, bytes);
    } catch (error) {
      this.#fail(toMxError(error).message);
    }
  }

  #fail(detail: string): void {
    this.#lose(mxError("MX_DAEMON_UNREACHABLE", { socket: this.#options.socket, detail }));
  }

  #lose(error: MxError): void {
    this.#lost.reject(error);
    this.#link.end();
  }
}
