/** A server of the whole method table over real sockets in this process, with handlers that a test gives. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFrame, FrameDecoder, mxError } from "@mx-agent/base";
import { type Handlers, IPC_VERSION, type MethodName, methodRoles } from "@mx-agent/ipc";
import { connect, type IpcClient } from "@mx-agent/ipc/client";
import { type IpcServer, type ServeOptions, serve } from "@mx-agent/ipc/server";

export const me = process.getuid?.() ?? 0;

/** Every method refuses with MX_NOT_RUNNING, but for those that the test gives. */
export function handlers(some: Partial<Handlers>): Handlers {
  const refuse = {
    parse: (params: unknown) => params,
    parseInput: (item: unknown) => item,
    handle: () => Promise.reject(mxError("MX_NOT_RUNNING", { what: "this method" })),
  };
  const table: Record<string, unknown> = {};
  for (const method of Object.keys(methodRoles)) table[method] = refuse;
  return Object.assign(table, some) as Handlers;
}

export interface TestServer {
  server: IpcServer;
  dir: string;
  daemon: string;
  agent: string;
  errors: unknown[];
  client(socket?: "daemon" | "agent"): Promise<IpcClient>;
  raw(socket?: "daemon" | "agent"): Promise<RawClient>;
  close(): Promise<void>;
}

export async function testServer(
  some: Partial<Handlers> = {},
  options: Partial<ServeOptions> = {},
): Promise<TestServer> {
  const dir = await mkdtemp(join(tmpdir(), "mx-ipc-"));
  const sockets = { daemon: join(dir, "daemon.sock"), agent: join(dir, "agent.sock") };
  const errors: unknown[] = [];
  const server = await serve({
    sockets,
    handlers: handlers(some),
    version: "0.0.1",
    peerOf: () => ({ uid: me, pid: process.pid }),
    refusePid: () => false,
    onError: (error) => errors.push(error),
    ...options,
  });
  const clients: { close(): void }[] = [];
  return {
    server,
    dir,
    ...sockets,
    errors,
    async client(socket = "daemon") {
      const client = await connect({ socket: sockets[socket], version: "0.0.1" });
      clients.push(client);
      return client;
    },
    async raw(socket = "daemon") {
      const client = await RawClient.connect(sockets[socket]);
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.close();
      await server.close({ grace_ms: 500 });
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Bytes in, frames out: a client that may misbehave. */
export class RawClient {
  readonly socket: Socket;
  readonly #frames: unknown[] = [];
  #wake = Promise.withResolvers<void>();
  #closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    const decoder = new FrameDecoder();
    socket.on("data", (bytes) => {
      for (const body of decoder.push(bytes)) this.#frames.push(JSON.parse(body.toString()));
      this.#news();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
      this.#news();
    });
  }

  static connect(path: string): Promise<RawClient> {
    const socket = createConnection({ path });
    const client = new RawClient(socket);
    return new Promise((resolve, reject) => {
      socket.once("connect", () => resolve(client));
      socket.once("error", reject);
    });
  }

  write(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  send(message: unknown): void {
    this.socket.write(encodeFrame(JSON.stringify(message)));
  }

  /** The next frame; undefined when the server has closed the connection. */
  async next(): Promise<unknown> {
    while (this.#frames.length === 0 && !this.#closed) await this.#wake.promise;
    return this.#frames.shift();
  }

  async greet(): Promise<unknown> {
    this.send({
      jsonrpc: "2.0",
      id: "hi",
      method: "hello",
      params: { version: IPC_VERSION, mx_agent: "raw" },
    });
    return this.next();
  }

  async ask(method: MethodName | string, params: unknown = {}, id: string | number = 1): Promise<unknown> {
    this.send({ jsonrpc: "2.0", id, method, params });
    return this.next();
  }

  close(): void {
    this.socket.destroy();
  }

  #news(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

/** A program of its own, run to its end. */
export function run(
  program: string,
  options: { uid?: number } = {},
): Promise<{ code: number | null; out: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { ...options, cwd: "/" });
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    out += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out }));
  });
}
