/** Sessions on a real homeserver, and the few words that their stories need. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../../../scripts/eventually.ts";
import type {
  CreateRoom,
  IncomingEvent,
  MatrixSession,
  OutboxOptions,
  Outgoing,
} from "../../src/matrix/api.ts";
import { login } from "../../src/matrix/login.ts";
import { openSession, type SessionOptions } from "../../src/matrix/session.ts";
import type { Credentials, Logger } from "../../src/matrix/types.ts";
import { Database } from "../../src/state/database.ts";
import { migrations } from "../../src/state/schema.ts";

export interface LogLine {
  level: "debug" | "info" | "warn" | "error";
  message: string;
  details: object;
}

export function memoryLogger(): Logger & { lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine["level"]) => (details: object, message: string) => {
    lines.push({ level, message, details });
    if (process.env.MX_TEST_LOG) process.stderr.write(`${level} ${message} ${JSON.stringify(details)}\n`);
  };
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export function openDatabase(file: string): Database {
  return new Database({ file, migrations, version: "0.0.0" });
}

/** A user of the homeserver with a fresh name and a password. */
export async function newUser(server: {
  registerUser(name: string, password: string): Promise<void>;
}): Promise<{ user: string; password: string }> {
  const user = `u${randomBytes(5).toString("hex")}`;
  const password = randomBytes(9).toString("hex");
  await server.registerUser(user, password);
  return { user, password };
}

export interface TestMachine {
  readonly session: MatrixSession;
  readonly credentials: Credentials;
  readonly cryptoDir: string;
  readonly events: IncomingEvent[];
  readonly log: LogLine[];
  readonly db: Database;
  readonly loggedOut: { soft: boolean; detail: string }[];
  readonly fatal: unknown[];
  /** Resolves to the first event for which `wanted` holds, of those that came or will come. */
  event(wanted: (event: IncomingEvent) => boolean): Promise<IncomingEvent>;
  /** Closes session and database, and opens both again on the same files. */
  restart(changes?: Partial<SessionOptions>): Promise<void>;
  stop(): Promise<void>;
  close(): Promise<void>;
}

export interface MachineOptions extends Partial<SessionOptions> {
  url: string;
  user: string;
  password: string;
}

/** A session with a state.db of its own in a temporary directory. */
export async function machine({ url, user, password, ...rest }: MachineOptions): Promise<TestMachine> {
  const dir = await mkdtemp(join(tmpdir(), "mx-matrix-"));
  const password_login = { kind: "password", user, password } as const;
  const credentials = rest.credentials ?? {
    ...(await login({ fetch, homeserver: url, method: password_login, device_name: "test" })),
    // Where url is a proxy, discovery leads past it.
    homeserver: url,
  };
  const events: IncomingEvent[] = [];
  const loggedOut: { soft: boolean; detail: string }[] = [];
  const fatal: unknown[] = [];
  const logger = memoryLogger();
  const cryptoDir = rest.cryptoDir ?? join(dir, "crypto");
  let db = openDatabase(join(dir, "state.db"));
  const start = (changes: Partial<SessionOptions>) => {
    const opening = openSession({
      credentials,
      fetch,
      clock: Date.now,
      logger,
      onEvent: async (event) => {
        events.push(event);
      },
      onTokens: () => undefined,
      onLoggedOut: (soft, detail) => loggedOut.push({ soft, detail }),
      onFatal: (error) => fatal.push(error),
      cryptoDir,
      version: "0.0.0",
      ...rest,
      ...changes,
      db,
    });
    opening.catch(() => db.close());
    return opening;
  };
  let session = await start({});
  let running = true;
  const stop = async () => {
    if (!running) return;
    running = false;
    await session.close();
    db.close();
  };
  return {
    get session() {
      return session;
    },
    get db() {
      return db;
    },
    credentials,
    cryptoDir,
    events,
    log: logger.lines,
    loggedOut,
    fatal,
    event: (wanted) => eventually(() => events.find(wanted)),
    async restart(changes = {}) {
      await stop();
      db = openDatabase(join(dir, "state.db"));
      session = await start(changes);
      running = true;
    },
    stop,
    async close() {
      await stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export const REQUEST = "com.mxagent.exec.request.v1";
export const CHUNK = "com.mxagent.stream.chunk.v1";
export const AGENT = "com.mxagent.agent.v1";

export const plainRoom = {
  name: "lab",
  alias: null,
  invite: [],
  encrypted: false,
  initial_state: [],
  power_level_content_override: {},
};

export interface Site {
  machine(options?: Partial<MachineOptions>): Promise<TestMachine>;
  /** Two accounts that have joined one room, whose options may be changed. */
  twoInARoom(
    room?: Partial<CreateRoom>,
    builder?: Partial<MachineOptions>,
  ): Promise<{ laptop: TestMachine; builder: TestMachine; room_id: string }>;
  /** A request of the Client-Server API beside the session, as that account. */
  api(who: TestMachine, method: string, path: string, body?: object): Promise<Record<string, unknown>>;
  closeMachines(): Promise<void>;
}

/** A new room of the laptop's, which the builder has joined. */
export async function shareRoom(
  laptop: TestMachine,
  builder: TestMachine,
  room: Partial<CreateRoom> = {},
): Promise<string> {
  const invite = [builder.credentials.user_id];
  const room_id = await laptop.session.createRoom({ ...plainRoom, invite, ...room });
  await eventually(() => builder.session.rooms.get(room_id)?.membership === "invite");
  await builder.session.join(room_id, []);
  await eventually(() => laptop.session.rooms.isJoined(room_id, builder.credentials.user_id));
  return room_id;
}

/** Makes accounts and rooms on a homeserver. */
export function siteOn(server: {
  url: string;
  registerUser(name: string, password: string): Promise<void>;
}): Site {
  const machines: TestMachine[] = [];
  const newMachine = async (options: Partial<MachineOptions> = {}) => {
    const one = await machine({ url: server.url, ...(await newUser(server)), ...options });
    machines.push(one);
    return one;
  };
  return {
    machine: newMachine,
    async twoInARoom(room = {}, options = {}) {
      const [laptop, builder] = await Promise.all([newMachine(), newMachine(options)]);
      await Promise.all([laptop.session.ready(), builder.session.ready()]);
      return { laptop, builder, room_id: await shareRoom(laptop, builder, room) };
    },
    async api({ credentials }, method, path, body) {
      const response = await fetch(`${server.url}/_matrix/client/v3${path}`, {
        method,
        headers: { authorization: `Bearer ${credentials.access_token}`, "content-type": "application/json" },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return JSON.parse(text);
    },
    async closeMachines() {
      await Promise.all(machines.splice(0).map((one) => one.close()));
    },
  };
}

/** Resolves to what became of the message. */
export function send(
  { session }: TestMachine,
  outgoing: Outgoing,
  options: OutboxOptions = {},
): Promise<Parameters<NonNullable<OutboxOptions["onSent"]>>[0]> {
  return new Promise((resolve) => session.outbox.enqueue(outgoing, { ...options, onSent: resolve }));
}

export const request = (room_id: string, content: object): Outgoing => ({
  kind: "event",
  room_id,
  type: REQUEST,
  content,
});
