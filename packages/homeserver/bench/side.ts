import { startHomeserverForTests, type TestHomeserver } from "../../../scripts/homeservers.ts";

type Body = Record<string, unknown>;

/** Somebody logged in, over plain HTTP as a client does it. */
export class User {
  readonly id: string;
  readonly device: string;
  readonly #url: string;
  readonly #token: string;
  #position = "";
  #transactions = 0;

  constructor(url: string, login: Body) {
    this.#url = `${url}/_matrix/client/v3`;
    this.id = String(login.user_id);
    this.device = String(login.device_id);
    this.#token = String(login.access_token);
  }

  async call(method: string, path: string, body?: unknown): Promise<Body> {
    const response = await fetch(this.#url + path, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as Body;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  async send(room: string, text: string): Promise<string> {
    const path = `/rooms/${encodeURIComponent(room)}/send/m.room.message/${this.#transactions++}`;
    return String((await this.call("PUT", path, { msgtype: "m.text", body: text })).event_id);
  }

  sendToDevice(to: User, content: object): Promise<Body> {
    const messages = { [to.id]: { [to.device]: content } };
    return this.call("PUT", `/sendToDevice/com.example.bench/${this.#transactions++}`, { messages });
  }

  async room(preset: string, ...others: User[]): Promise<string> {
    const room = String((await this.call("POST", "/createRoom", { preset })).room_id);
    for (const other of others) await other.call("POST", `/join/${encodeURIComponent(room)}`, {});
    return room;
  }

  /** One incremental sync from where the last one ended; it waits up to `timeoutMs` for something new. */
  async sync(timeoutMs: number): Promise<Body> {
    const since = this.#position === "" ? "" : `&since=${encodeURIComponent(this.#position)}`;
    const answer = await this.call(
      "GET",
      `/sync?timeout=${timeoutMs}&set_presence=offline&filter=${filter}${since}`,
    );
    this.#position = String(answer.next_batch);
    return answer;
  }

  /** Syncs until nothing new comes. */
  async catchUp(): Promise<void> {
    let before: string;
    do {
      before = this.#position;
      await this.sync(0);
    } while (this.#position !== before);
  }

  /** Long-polls until an answer holds `needle`. */
  async hear(needle: string): Promise<void> {
    while (!JSON.stringify(await this.sync(30_000)).includes(needle));
  }
}

const filter = encodeURIComponent(
  JSON.stringify({ presence: { types: [] }, account_data: { types: [] }, room: { timeline: { limit: 50 } } }),
);

/** A homeserver under measurement, and what came of it. */
export interface Side {
  homeserver: TestHomeserver;
  user(name: string): Promise<User>;
}

/** Both servers, on fresh data; Synapse without rate limits, logging warnings only. */
export async function bothSides(): Promise<{ ours: Side; synapse: Side } & AsyncDisposable> {
  const ours = await sideOf("embedded");
  const synapse = await sideOf("synapse");
  return {
    ours,
    synapse,
    async [Symbol.asyncDispose]() {
      await ours.homeserver.close();
      await synapse.homeserver.close();
    },
  };
}

export async function sideOf(kind: "embedded" | "synapse"): Promise<Side> {
  const homeserver = await startHomeserverForTests({ kind });
  return { homeserver, user: (name) => userOf(homeserver, name) };
}

export async function userOf(homeserver: TestHomeserver, name: string): Promise<User> {
  const password = "a password for the bench";
  await homeserver.registerUser(name, password);
  const response = await fetch(`${homeserver.url}/_matrix/client/v3/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      type: "m.login.password",
      identifier: { type: "m.id.user", user: name },
      password,
      device_id: name.toUpperCase(),
    }),
  });
  return new User(homeserver.url, (await response.json()) as Body);
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
