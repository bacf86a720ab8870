/** The daemon's end of its two sockets. */
import { existsSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { type MxError, mxError } from "@mx-agent/base";
import { Connection } from "./connection.ts";
import type { Handlers, Peer } from "./contract.ts";
import { listenAt } from "./listen.ts";
import type { Role } from "./methods.ts";

export type { CallContext, Handler, Handlers, Peer } from "./contract.ts";

export interface PeerCredentials {
  uid: number;
  pid: number | null;
}

export interface ServeOptions {
  /** `daemon` serves all methods, `agent` the agents' alone. */
  sockets: { daemon: string; agent: string };
  handlers: Handlers;
  /** Of mx-agent; told to clients, for messages. */
  version: string;
  /** Who is at the other end of a connected socket; null where that cannot be found out. */
  peerOf(fd: number): PeerCredentials | null;
  /** Whether this process may not use the operator's socket: the runner's children and all below them. */
  refusePid(pid: number): boolean;
  /** The uid that may connect; by default that of this process. */
  owner?: number;
  /** Each call that is let through to its handler. */
  onCall?(call: { method: string; peer: Peer }): void;
  /** What was not foreseen in a handler; the client hears MX_INTERNAL. */
  onError(error: unknown, where: { method: string }): void;
}

export interface IpcServer {
  /** Who is connected now. */
  connections(): Peer[];
  /** Listens again at a socket whose file somebody removed; answers whether there was one. Throws as `serve` does. */
  restore(): Promise<boolean>;
  /**
   * Takes no more connections, removes the sockets, aborts the calls in progress and lets them answer
   * for at most `grace_ms` (by default 1000), then closes everything.
   */
  close(options?: { grace_ms?: number }): Promise<void>;
}

/**
 * Listens on both sockets. MX_SOCKET_PATH or MX_ALREADY_RUNNING where a socket cannot be had, and then
 * neither is taken.
 */
export async function serve(options: ServeOptions): Promise<IpcServer> {
  const connections = new Set<Connection>();
  const accept = (role: Role) => (socket: Socket) => {
    const { peer, refusal } = identify(socket, role, options);
    connections.add(
      new Connection(socket, {
        handlers: options.handlers,
        version: options.version,
        peer,
        refusal,
        onCall: options.onCall,
        onError: options.onError,
        onClosed: (connection) => connections.delete(connection),
      }),
    );
  };
  const make = (path: string, role: Role) => ({ path, role, server: listener(role) });
  const listener = (role: Role) => createServer({ allowHalfOpen: true }, accept(role));
  const [daemon, agent] = [make(options.sockets.daemon, "operator"), make(options.sockets.agent, "agent")];
  await listenAt(daemon.server, daemon.path);
  try {
    await listenAt(agent.server, agent.path);
  } catch (error) {
    await stopListening(daemon.server);
    throw error;
  }
  let closed = false;
  return {
    connections: () => [...connections].map((connection) => connection.peer),
    restore: async () => {
      const gone = [daemon, agent].filter(({ path }) => !closed && !existsSync(path));
      for (const one of gone) {
        // First, because it removes what is at its path. Its connections stay.
        void stopListening(one.server);
        one.server = listener(one.role);
        await listenAt(one.server, one.path);
      }
      return gone.length > 0;
    },
    close: async ({ grace_ms = 1000 } = {}) => {
      closed = true;
      const stopped = [stopListening(daemon.server), stopListening(agent.server)];
      const reason = mxError("MX_NOT_RUNNING", {
        what: "the daemon",
        hint: "it was stopped while it worked on this call; start it with `mx-agent daemon start`",
      });
      const answered = Promise.all([...connections].map((connection) => connection.cancelAll(reason)));
      await withinGrace(answered, grace_ms);
      for (const connection of connections) connection.end();
      const last = setTimeout(() => {
        for (const connection of connections) connection.destroy();
      }, grace_ms);
      await Promise.all(stopped);
      clearTimeout(last);
    },
  };
}

function identify(
  socket: Socket,
  role: Role,
  options: ServeOptions,
): { peer: Peer; refusal: MxError | undefined } {
  const owner = options.owner ?? process.getuid?.() ?? -1;
  const fd = fdOf(socket);
  const credentials = fd === undefined ? null : options.peerOf(fd);
  if (credentials === null)
    return {
      peer: { role, uid: -1, pid: null },
      refusal: mxError("MX_PEER_UID", { uid: "unknown", owner }),
    };
  const { uid, pid } = credentials;
  return { peer: { role, uid, pid }, refusal: refusalOf(role, uid, pid, owner, options) };
}

function refusalOf(
  role: Role,
  uid: number,
  pid: number | null,
  owner: number,
  options: ServeOptions,
): MxError | undefined {
  if (uid !== owner) return mxError("MX_PEER_UID", { uid, owner });
  if (role === "operator" && pid !== null && options.refusePid(pid))
    return mxError("MX_PEER_STARTED_HERE", { pid });
  return undefined;
}

/** The descriptor of a connected socket: Node has it, and does not document how to ask. */
function fdOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null) return undefined;
  const fd: unknown = Reflect.get(handle, "fd");
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

/** Resolves when the last connection is gone; the socket's file is removed at once. */
function stopListening(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

async function withinGrace(work: Promise<unknown>, grace_ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, grace_ms);
  await Promise.race([work, promise]);
  clearTimeout(timer);
}
