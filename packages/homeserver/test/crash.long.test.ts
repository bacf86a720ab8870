import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";

const scale = Number(process.env.MX_TEST_SCALE ?? "1");
const kills = Math.max(3, Math.round(60 * scale));

type Body = Record<string, unknown>;
interface Login {
  user_id: string;
  access_token: string;
}

/** The server as a process that can be killed, on one port and data directory for good. */
class Victim {
  readonly #dataDir: string;
  #process: ChildProcess | undefined;
  #port = 0;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async start(): Promise<void> {
    const program = new URL("support/crash-server.ts", import.meta.url).pathname;
    const child = spawn(process.execPath, [program, this.#dataDir, String(this.#port)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = child;
    const lines = createInterface({ input: child.stdout });
    const [url] = (await Promise.race([once(lines, "line"), once(child, "exit")])) as [unknown];
    if (typeof url !== "string") throw new Error("the server did not start");
    this.#port = Number(new URL(url).port);
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }

  /** Undefined when the server went away before it answered. */
  async call(login: Login | undefined, method: string, path: string, body?: Body): Promise<Body | undefined> {
    let response: Response;
    let answer: Body;
    try {
      response = await fetch(`http://127.0.0.1:${this.#port}/_matrix/client/v3${path}`, {
        method,
        headers: login === undefined ? {} : { authorization: `Bearer ${login.access_token}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      answer = (await response.json()) as Body;
    } catch {
      // What was not answered in full was not acknowledged.
      return undefined;
    }
    expect(response.status, `${method} ${path} ${JSON.stringify(answer)}`).toBe(200);
    return answer;
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
  state = 0;
  keys = 0;
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
      const one_time_keys = { [`signed_curve25519:${this.name}${n}`]: { key: `${n}`, signatures: {} } };
      if ((await victim.call(this.login, "POST", "/keys/upload", { one_time_keys })) === undefined) return;
      this.keys += 1;
    }
  }
}

async function allEvents(
  victim: Victim,
  login: Login,
  room: string,
): Promise<{ event_id: string; content: Body }[]> {
  const found: { event_id: string; content: Body }[] = [];
  let from = "";
  do {
    const page = await victim.must(login, "GET", `/rooms/${room}/messages?dir=f&limit=500${from}`);
    found.push(...(page.chunk as typeof found).filter((event) => "by" in event.content));
    from = page.end === undefined ? "" : `&from=${String(page.end)}`;
  } while (from !== "");
  return found;
}

it(`after each of ${kills} kills everything that was acknowledged is there, once and in order`, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "mx-homeserver-crash-"));
  const victim = new Victim(dataDir);
  try {
    await victim.start();
    const register = async (username: string) => {
      const auth = { type: "m.login.dummy" };
      return (await victim.must(undefined, "POST", "/register", {
        username,
        password: "x",
        auth,
      })) as unknown as Login;
    };
    const reader = await register("reader");
    const writers = [new Writer("a", await register("a")), new Writer("b", await register("b"))];
    const room = String(
      (await victim.must(reader, "POST", "/createRoom", { preset: "public_chat" })).room_id,
    );
    await victim.must(reader, "PUT", `/rooms/${room}/state/m.room.power_levels`, {
      users: { [reader.user_id]: 100 },
      state_default: 0,
    });
    for (const writer of writers) await victim.must(writer.login, "POST", `/join/${room}`, {});
    const positions: { since: string; seen: number }[] = [];
    for (let turn = 0; turn < kills; turn++) {
      const writing = Promise.all(writers.map((writer) => writer.write(victim, room)));
      await delay(5 + Math.random() * 150);
      await victim.kill();
      await writing;
      await victim.start();

      const events = await allEvents(victim, reader, room);
      for (const writer of writers) {
        const numbers = events
          .filter((event) => event.content.by === writer.name)
          .map((event) => event.content.n);
        // What was not acknowledged may be there too, but then as the next one, once.
        const count = numbers.length;
        expect(numbers).toEqual(Array.from({ length: count }, (_, i) => i + 1));
        expect(count).toBeGreaterThanOrEqual(writer.events.length);
        expect(count).toBeLessThanOrEqual(writer.next);
        const ids = new Map(events.map((event) => [event.event_id, event.content]));
        for (const { n, eventId } of writer.events)
          expect(ids.get(String(eventId))).toEqual({ n, by: writer.name });
        if (writer.state > 0) {
          const state = await victim.must(
            writer.login,
            "GET",
            `/rooms/${room}/state/com.example.state/${writer.name}`,
          );
          expect(Number(state.n)).toBeGreaterThanOrEqual(writer.state);
        }
        const sync = await victim.must(writer.login, "GET", "/sync?timeout=0");
        const counts = sync.device_one_time_keys_count as { signed_curve25519: number };
        expect(counts.signed_curve25519).toBeGreaterThanOrEqual(writer.keys);
      }
      const oldest = positions.length > 5 ? positions.shift() : positions[0];
      if (oldest !== undefined) {
        const filter = encodeURIComponent('{"room":{"timeline":{"limit":500}}}');
        const sync = await victim.must(
          reader,
          "GET",
          `/sync?timeout=0&since=${oldest.since}&filter=${filter}`,
        );
        const joined = (
          sync.rooms as {
            join?: Record<string, { timeline: { limited: boolean; events: { content: Body }[] } }>;
          }
        )?.join;
        const timeline = joined?.[room]?.timeline;
        const fresh = (timeline?.events ?? []).filter((event) => "by" in event.content);
        if (timeline?.limited !== true) expect(fresh).toHaveLength(events.length - oldest.seen);
      }
      const { next_batch } = await victim.must(reader, "GET", "/sync?timeout=0");
      positions.push({ since: String(next_batch), seen: events.length });
    }
    expect(writers.every((writer) => writer.events.length > kills / 4)).toBe(true);
  } finally {
    await victim.kill();
    await rm(dataDir, { recursive: true, force: true });
  }
});
