import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { homeserverProcess } from "../src/index.ts";
import { conformance } from "./support/users.ts";
import { type Exchange, ValidatedClient } from "./support/validated-client.ts";

const scale = Number(process.env.MX_TEST_SCALE ?? "1");
const kills = Math.max(3, Math.round(60 * scale));

type Body = Record<string, unknown>;
interface Login {
  user_id: string;
  device_id: string;
  access_token: string;
}
interface Numbered {
  event_id: string;
  content: Body;
}

/** The server as a process that can be killed, on one port and data directory for good. */
class Victim {
  readonly #dataDir: string;
  #process: ChildProcess | undefined;
  #port = 0;
  #client = new ValidatedClient("", conformance);

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async start(): Promise<void> {
    const program = new URL("support/crash-server.ts", import.meta.url).pathname;
    const { file, args, env } = homeserverProcess([program, this.#dataDir, String(this.#port)]);
    const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    this.#process = child;
    const lines = createInterface({ input: child.stdout });
    const [url] = (await Promise.race([once(lines, "line"), once(child, "exit")])) as [unknown];
    if (typeof url !== "string") throw new Error("the server did not start");
    this.#port = Number(new URL(url).port);
    this.#client = new ValidatedClient(url, conformance);
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }

  /** Undefined when the server went away before it answered; what it answers is as the specification says. */
  async call(login: Login | undefined, method: string, path: string, body?: Body): Promise<Body | undefined> {
    let exchange: Exchange;
    try {
      exchange = await this.#client.exchange({
        method,
        path: `/_matrix/client/v3${path}`,
        ...(login === undefined ? {} : { token: login.access_token }),
        ...(body === undefined ? {} : { body }),
      });
    } catch {
      // What was not answered in full was not acknowledged.
      return undefined;
    }
    expect(exchange.problems).toEqual([]);
    expect(exchange.status, `${method} ${path} ${JSON.stringify(exchange.body)}`).toBe(200);
    return exchange.body as Body;
  }

  async must(login: Login | undefined, method: string, path: string, body?: Body): Promise<Body> {
    const answer = await this.call(login, method, path, body);
    if (answer === undefined) throw new Error(`${method} ${path}: no answer`);
    return answer;
  }
}

/** What one writer was told is safe. */
class Writer {
  readonly name: string;
  readonly login: Login;
  readonly events: { n: number; eventId: unknown }[] = [];
  /** The one-time keys that were taken in, by their names. */
  readonly keys = new Set<string>();
  state = 0;
  next = 1;
  constructor(name: string, login: Login) {
    this.name = name;
    this.login = login;
  }

  /** Writes until the server is gone; a number that was not acknowledged is tried again after the restart. */
  async write(victim: Victim, room: string): Promise<void> {
    for (;;) {
      const n = this.next;
      const path = `/rooms/${room}/send/com.example.number/${this.name}-${n}`;
      const event = await victim.call(this.login, "PUT", path, { n, by: this.name });
      if (event === undefined) return;
      this.events.push({ n, eventId: event.event_id });
      this.next += 1;
      const state = await victim.call(
        this.login,
        "PUT",
        `/rooms/${room}/state/com.example.state/${this.name}`,
        { n },
      );
      if (state === undefined) return;
      this.state = n;
      const name = `signed_curve25519:${this.name}${n}`;
      const one_time_keys = { [name]: { key: name, signatures: {} } };
      if ((await victim.call(this.login, "POST", "/keys/upload", { one_time_keys })) === undefined) return;
      this.keys.add(name);
    }
  }
}

/** Claims the writers' keys while the server is killed, and remembers which it got. */
class Claimer {
  readonly login: Login;
  readonly got: string[] = [];
  /** Claims whose answer never came: each may have taken a key along. */
  lost = 0;
  constructor(login: Login) {
    this.login = login;
  }

  async claim(victim: Victim, writers: readonly Writer[]): Promise<void> {
    for (;;) {
      const names = await this.#claimOne(victim, writers);
      if (names === undefined) {
        this.lost += writers.length;
        return;
      }
    }
  }

  /** Takes every key that is left. */
  async drain(victim: Victim, writers: readonly Writer[]): Promise<void> {
    while ((await this.#claimOne(victim, writers))?.length !== 0);
  }

  async #claimOne(victim: Victim, writers: readonly Writer[]): Promise<string[] | undefined> {
    const one_time_keys = Object.fromEntries(
      writers.map(({ login }) => [login.user_id, { [login.device_id]: "signed_curve25519" }]),
    );
    const answer = await victim.call(this.login, "POST", "/keys/claim", { one_time_keys });
    if (answer === undefined) return undefined;
    const users = answer.one_time_keys as Record<string, Record<string, Record<string, { key: string }>>>;
    const keys = Object.values(users).flatMap((devices) => Object.values(devices).flatMap(Object.entries));
    const names = keys.map(([name, { key }]: [string, { key: string }]) => {
      expect(key).toBe(name);
      return name;
    });
    this.got.push(...names);
    return names;
  }
}

const numbered = (events: unknown) => (events as Numbered[]).filter((event) => "by" in event.content);

async function allEvents(victim: Victim, login: Login, room: string): Promise<Numbered[]> {
  const found: Numbered[] = [];
  let from = "";
  do {
    const page = await victim.must(login, "GET", `/rooms/${room}/messages?dir=f&limit=500${from}`);
    found.push(...numbered(page.chunk));
    from = page.end === undefined ? "" : `&from=${String(page.end)}`;
  } while (from !== "");
  return found;
}

const filter = encodeURIComponent('{"room":{"timeline":{"limit":200}}}');

/** What somebody hears who comes back with an old position: the timeline, and what was left out before it. */
async function eventsSince(victim: Victim, login: Login, room: string, since: string): Promise<Numbered[]> {
  const sync = await victim.must(login, "GET", `/sync?timeout=0&since=${since}&filter=${filter}`);
  type Timeline = { limited: boolean; prev_batch: string; events: unknown };
  const joined = (sync.rooms as { join?: Record<string, { timeline: Timeline }> } | undefined)?.join;
  const timeline = joined?.[room]?.timeline;
  if (timeline === undefined) return [];
  const pages = [numbered(timeline.events)];
  let from = timeline.limited ? timeline.prev_batch : "";
  while (from !== "") {
    const path = `/rooms/${room}/messages?dir=b&limit=1000&from=${from}&to=${since}`;
    const page = await victim.must(login, "GET", path);
    pages.unshift(numbered(page.chunk).reverse());
    from = page.end === undefined ? "" : String(page.end);
  }
  return pages.flat();
}

/** Everything that a writer was told is there, is there, once and in order. */
async function expectWritten(
  victim: Victim,
  writer: Writer,
  room: string,
  events: readonly Numbered[],
): Promise<void> {
  const own = events.filter((event) => event.content.by === writer.name);
  const numbers = own.map((event) => event.content.n);
  const count = numbers.length;
  // What was not acknowledged may be there too, but then as the next one, once.
  expect(numbers).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  expect(count).toBeGreaterThanOrEqual(writer.events.length);
  expect(count).toBeLessThanOrEqual(writer.next);
  const ids = new Map(own.map((event) => [event.event_id, event.content]));
  for (const { n, eventId } of writer.events)
    expect(ids.get(String(eventId))).toEqual({ n, by: writer.name });
  if (writer.state === 0) return;
  const path = `/rooms/${room}/state/com.example.state/${writer.name}`;
  const state = await victim.must(writer.login, "GET", path);
  expect(Number(state.n)).toBeGreaterThanOrEqual(writer.state);
}

/** No key was handed out twice, and none is missing but those whose claim's answer was lost. */
function expectKeys(claimer: Claimer, writers: readonly Writer[]): void {
  expect(new Set(claimer.got).size).toBe(claimer.got.length);
  const got = new Set(claimer.got);
  const missing = writers.flatMap((writer) => [...writer.keys]).filter((name) => !got.has(name));
  expect(missing.length, missing.join(" ")).toBeLessThanOrEqual(claimer.lost);
}

it(`after each of ${kills} kills everything that was acknowledged is there, and every position works`, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "mx-homeserver-crash-"));
  const victim = new Victim(dataDir);
  try {
    await victim.start();
    const register = async (username: string) => {
      const auth = { type: "m.login.dummy" };
      const body = { username, password: "x", auth };
      return (await victim.must(undefined, "POST", "/register", body)) as unknown as Login;
    };
    const reader = await register("reader");
    const writers = [new Writer("a", await register("a")), new Writer("b", await register("b"))];
    const claimer = new Claimer(await register("claimer"));
    const made = await victim.must(reader, "POST", "/createRoom", { preset: "public_chat" });
    const room = String(made.room_id);
    await victim.must(reader, "PUT", `/rooms/${room}/state/m.room.power_levels`, {
      users: { [reader.user_id]: 100 },
      state_default: 0,
    });
    for (const writer of writers) await victim.must(writer.login, "POST", `/join/${room}`, {});
    const positions: { since: string; seen: number }[] = [];
    for (let turn = 0; turn < kills; turn++) {
      const writing = Promise.all([
        ...writers.map((writer) => writer.write(victim, room)),
        claimer.claim(victim, writers),
      ]);
      await delay(5 + Math.random() * 150);
      await victim.kill();
      await writing;
      await victim.start();

      const events = await allEvents(victim, reader, room);
      for (const writer of writers) await expectWritten(victim, writer, room, events);
      const ids = events.map((event) => event.event_id);
      for (const { since, seen } of positions) {
        const heard = await eventsSince(victim, reader, room, since);
        expect(heard.map((event) => event.event_id)).toEqual(ids.slice(seen));
      }
      const { next_batch } = await victim.must(reader, "GET", `/sync?timeout=0&filter=${filter}`);
      positions.push({ since: String(next_batch), seen: events.length });
    }
    await claimer.drain(victim, writers);
    expectKeys(claimer, writers);
    expect(claimer.got.length).toBeGreaterThan(kills / 4);
    expect(writers.every((writer) => writer.events.length > kills / 4)).toBe(true);
  } finally {
    await victim.kill();
    await rm(dataDir, { recursive: true, force: true });
  }
});
