import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createRegistrationToken, homeserverProcess, type Registration } from "@mx-agent/homeserver";
import { startSynapse } from "./synapse/index.ts";
import { freePort, type ServerProcess, spawnServer } from "./synapse/process.ts";

export { VenvUnavailable } from "./synapse/index.ts";
export { freePort } from "./synapse/process.ts";

export type HomeserverKind = "embedded" | "synapse";

export interface HomeserverOptions {
  /** By default what MX_TEST_HOMESERVER says, or the embedded one. */
  kind?: HomeserverKind;
  /** Where its data live; kept on close, and taken up again. By default a temporary one, removed on close. */
  dir?: string;
  /** Of 127.0.0.1; by default a free one. */
  port?: number;
  /** The server name, the part of a user id after the colon. By default `localhost`. */
  name?: string;
  /** The rate limits that it comes with, instead of practically none. */
  defaultRateLimits?: boolean;
  /** Who may make an account; by default everybody. */
  registration?: Registration;
  /** A CAS server that logs people in (Synapse alone). */
  cas?: string;
  /** An OAuth 2.0 server that has the accounts (Synapse alone). */
  oauth?: { url: string; secret: string };
}

/** A homeserver in a process of its own, which ends with this process, however that ends. */
export interface TestHomeserver {
  readonly kind: HomeserverKind;
  readonly url: string;
  readonly name: string;
  /** Of the running process; another one after `restart`. */
  readonly pid: number;
  /** Makes a user; an error when there is one of that name. */
  registerUser(name: string, password: string): Promise<void>;
  /** A token that lets so many make an account, where `registration` is `token`. */
  registrationToken(uses: number): Promise<string>;
  /** Sends the signal (SIGKILL as well) and waits until the process is gone; data and port stay. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same data and port, after stopping it where it still runs. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** The homeserver that the journeys run on: MX_TEST_HOMESERVER=embedded (the default) or synapse. */
export async function startHomeserverForTests(options: HomeserverOptions = {}): Promise<TestHomeserver> {
  const { kind = chosenKind(), ...rest } = options;
  return kind === "embedded" ? startEmbedded(rest) : startSynapse(rest);
}

export function chosenKind(): HomeserverKind {
  const kind = process.env.MX_TEST_HOMESERVER ?? "embedded";
  if (kind === "embedded" || kind === "synapse") return kind;
  throw new Error(`MX_TEST_HOMESERVER is ${kind}; it can be embedded or synapse`);
}

const childProgram = fileURLToPath(new URL("embedded-homeserver-child.ts", import.meta.url));

async function startEmbedded(options: Omit<HomeserverOptions, "kind">): Promise<TestHomeserver> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "mx-homeserver-")));
  const name = options.name ?? "localhost";
  const port = options.port ?? (await freePort());
  const { defaultRateLimits = false, registration = "open" } = options;
  const settings = JSON.stringify({ dir, port, name, defaultRateLimits, registration });
  const launch = () => Child.start(settings);

  let child: Child;
  try {
    child = await launch();
  } catch (error) {
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    throw error;
  }
  return {
    kind: "embedded",
    url: `http://127.0.0.1:${port}`,
    name,
    get pid() {
      return child.server.pid;
    },
    registerUser: (user, password) => child.addUser(user, password),
    registrationToken: (uses) => createRegistrationToken(dir, { uses }),
    kill: (signal) => child.server.kill(signal),
    async restart() {
      await child.server.stop();
      child = await launch();
    },
    async close() {
      await child.server.stop();
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
  };
}

interface Answer {
  url?: string;
  id?: number;
  error?: string;
}

/** The parent's side of embedded-homeserver-child.ts. */
class Child {
  readonly server: ServerProcess;
  #next = 1;
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

  private constructor(server: ServerProcess) {
    this.server = server;
  }

  static async start(settings: string): Promise<Child> {
    const { file, args, env } = homeserverProcess([childProgram, settings]);
    const child = new Child(await spawnServer(file, args, { env }));
    await child.#ready();
    return child;
  }

  addUser(name: string, password: string): Promise<void> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      if (!this.server.running()) return reject(new Error("the homeserver is not running"));
      this.#waiting.set(id, { resolve, reject });
      this.server.stdin.write(`${JSON.stringify({ id, addUser: { name, password } })}\n`);
    });
  }

  #ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const lines = createInterface({ input: this.server.stdout });
      lines.on("line", (line) => {
        const answer: Answer = JSON.parse(line);
        if (answer.url !== undefined) return resolve();
        const waiting = this.#waiting.get(answer.id ?? 0);
        this.#waiting.delete(answer.id ?? 0);
        if (answer.error === undefined) waiting?.resolve();
        else waiting?.reject(new Error(answer.error));
      });
      lines.on("close", () => {
        const gone = new Error(`the homeserver ended:\n${this.server.complaints()}`);
        for (const { reject: refuse } of this.#waiting.values()) refuse(gone);
        this.#waiting.clear();
        reject(gone);
      });
    });
  }
}
