/** Two Synapses that federate over TLS on loopback, and the line between them, which can be cut. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Synapse, startSynapse, synapsePython } from "./index.ts";
import { freePort } from "./process.ts";

const certificates = fileURLToPath(new URL("certificates.py", import.meta.url));

export interface Federation {
  /** Each is named `127.0.0.1:PORT`, where PORT is its end of the line. */
  readonly servers: readonly [Synapse, Synapse];
  /** Nothing gets from one to the other any more; their own clients notice nothing. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export interface FederationOptions {
  /** Where their data live; kept on close, and taken up again with the same ports. By default temporary. */
  dir?: string;
  /** Of the client API and of federation, of the first and of the second; by default free ones. */
  ports?: { client: number; federation: number }[];
}

/** @throws VenvUnavailable where Synapse can't be installed */
export async function startFederation(options: FederationOptions = {}): Promise<Federation> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "mx-federation-")));
  const lines: Line[] = [];
  const servers: Synapse[] = [];
  const close = async () => {
    await Promise.all(servers.map((server) => server.close()));
    await Promise.all(lines.map((line) => line.close()));
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
  };
  const start = async (index: number) => {
    const port = await freePort();
    const line = await Line.open(options.ports?.[index]?.federation ?? 0, port);
    lines.push(line);
    const server = await startSynapse({
      dir: join(dir, String(index)),
      name: `127.0.0.1:${line.port}`,
      ...(options.ports?.[index] && { port: options.ports[index].client }),
      federation: { port, certificates: dir },
    });
    servers.push(server);
    return server;
  };
  try {
    await promisify(execFile)(await synapsePython(), [certificates, dir]);
    // Both have started, or failed to, before anything is closed: one that comes later would be left behind.
    const [first, second] = await Promise.allSettled([start(0), start(1)]);
    if (first.status === "rejected") throw first.reason;
    if (second.status === "rejected") throw second.reason;
    return {
      servers: [first.value, second.value],
      cut: () => {
        for (const line of lines) line.cut();
      },
      mend: () => {
        for (const line of lines) line.mend();
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The port that other servers know, and the way from there to the server's own. */
class Line {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #whole = true;

  private constructor(server: Server, port: number, to: number) {
    this.port = port;
    this.#server = server;
    server.on("connection", (from) => this.#join(from, to));
  }

  static async open(port: number, to: number): Promise<Line> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the line has no port");
    return new Line(server, address.port, to);
  }

  cut(): void {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#whole = true;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(from: Socket, to: number): void {
    if (!this.#whole) return void from.destroy();
    const onward = connect(to, "127.0.0.1");
    for (const [one, other] of [
      [from, onward],
      [onward, from],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
