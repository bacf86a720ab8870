import type { TestHomeserver } from "../../../../scripts/homeservers.ts";
import { type Conformance, type Exchange, ValidatedClient } from "../support/validated-client.ts";
import { Names, normalise } from "./normalise.ts";

/** One exchange as it is compared and written down. */
export interface Call {
  /** `alice PUT /rooms/!1/send/m.room.message/t1` */
  call: string;
  /** What the call is there to show, where its path does not say. */
  shows?: string;
  status: number;
  /** Normalised; undefined when the answer was not JSON. */
  body?: unknown;
  /** Of answers that are not JSON: what a client's safety hangs on. */
  content?: Record<string, string | number | null>;
}

export interface Scenario {
  name: string;
  play(story: Story): Promise<void>;
}

type Body = Record<string, unknown>;

/** The answer to one call, as a scenario goes on with it. */
export class Answer {
  readonly status: number;
  readonly body: Body;

  constructor(exchange: Exchange) {
    this.status = exchange.status;
    this.body = typeof exchange.body === "object" && exchange.body !== null ? (exchange.body as Body) : {};
  }

  /** A string of the body, by its path: `text("rooms", "join")`. What is not there shows in the next path. */
  text(...path: string[]): string {
    const value = this.value(...path);
    return typeof value === "string" ? value : `missing-${path.join("-")}`;
  }

  value(...path: string[]): unknown {
    let value: unknown = this.body;
    for (const key of path) {
      if (typeof value !== "object" || value === null) return undefined;
      value = (value as Body)[key];
    }
    return value;
  }

  get room(): string {
    return this.text("room_id");
  }

  get event(): string {
    return this.text("event_id");
  }

  get position(): string {
    return this.text("next_batch");
  }
}

const client = "/_matrix/client";

/** Somebody who calls the server, with a device; or nobody, without a token. */
export class Person {
  readonly name: string;
  readonly id: string;
  readonly token: string | undefined;
  readonly device: string;
  readonly #story: Story;

  constructor(story: Story, name: string, id: string, token: string | undefined, device: string) {
    this.#story = story;
    this.name = name;
    this.id = id;
    this.token = token;
    this.device = device;
  }

  get(path: string, shows?: string): Promise<Answer> {
    return this.call("GET", path, undefined, shows);
  }

  put(path: string, body: unknown, shows?: string): Promise<Answer> {
    return this.call("PUT", path, body, shows);
  }

  post(path: string, body: unknown, shows?: string): Promise<Answer> {
    return this.call("POST", path, body, shows);
  }

  delete(path: string, body?: unknown, shows?: string): Promise<Answer> {
    return this.call("DELETE", path, body, shows);
  }

  /** A path that does not start with `/_matrix` or `/.well-known` is one of the Client-Server API, v3. */
  async call(
    method: string,
    path: string,
    body?: unknown,
    shows?: string,
    headers?: Record<string, string>,
  ): Promise<Answer> {
    const exchange = await this.#story.exchange(this, method, path, body, headers);
    this.#story.record(this, exchange, shows);
    return new Answer(exchange);
  }

  /** Asks until `enough` holds, and records the answer that did (or the last one, after 10 s). */
  async until(path: string, enough: (answer: Answer) => boolean, shows?: string): Promise<Answer> {
    const limit = performance.now() + 10_000;
    for (;;) {
      const exchange = await this.#story.exchange(this, "GET", path);
      const answer = new Answer(exchange);
      if (enough(answer) || performance.now() > limit) {
        this.#story.record(this, exchange, shows);
        return answer;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** A room of the version under test. */
  async room(options: Body = {}): Promise<string> {
    return (await this.post("/createRoom", { room_version: roomVersion, ...options })).room;
  }

  async joined(room: string): Promise<void> {
    await this.post(`/rooms/${enc(room)}/join`, {});
  }

  /** Sends a text message; answers its event id. */
  async says(room: string, text: string): Promise<string> {
    const path = `/rooms/${enc(room)}/send/m.room.message/${this.#story.transaction()}`;
    return (await this.put(path, { msgtype: "m.text", body: text })).event;
  }

  state(room: string, type: string, content: unknown, key = "", shows?: string): Promise<Answer> {
    return this.put(`/rooms/${enc(room)}/state/${type}/${enc(key)}`, content, shows);
  }
}

/** The room version that both servers are asked for. */
export const roomVersion = "11";

export const enc = encodeURIComponent;

/** One scenario being played on one server: who is in it, and what was said. */
export class Story {
  readonly calls: Call[] = [];
  /** The bodies sent, beside `calls`. */
  readonly sent: unknown[] = [];
  /** What contradicts the specification, each with its call. */
  readonly problems: string[] = [];
  readonly names = new Names();
  readonly nobody: Person;
  readonly #homeserver: TestHomeserver;
  readonly #client: ValidatedClient;
  readonly #slug: string;
  #transactions = 0;

  constructor(homeserver: TestHomeserver, slug: string, conformance: Conformance | undefined) {
    this.#homeserver = homeserver;
    this.#client = new ValidatedClient(homeserver.url, conformance);
    this.#slug = slug;
    this.nobody = new Person(this, "nobody", "", undefined, "");
  }

  get serverName(): string {
    return this.#homeserver.name;
  }

  transaction(): string {
    this.#transactions++;
    return `t${this.#transactions}`;
  }

  /** The part of a user id before the colon; users of different scenarios do not meet. */
  localpart(name: string): string {
    return `${name}.${this.#slug}`;
  }

  idOf(name: string): string {
    return `@${this.localpart(name)}:${this.serverName}`;
  }

  /** Makes users, not recorded, and logs each in on a device called after it. */
  async people<const T extends string[]>(...names: T): Promise<{ [K in keyof T]: Person }> {
    const people: Person[] = [];
    for (const name of names) {
      await this.#homeserver.registerUser(this.localpart(name), passwordOf(name));
      people.push(await this.device(name));
    }
    return people as { [K in keyof T]: Person };
  }

  /** Another device of somebody who is there already. */
  async device(name: string, device = name.toUpperCase()): Promise<Person> {
    const answer = await this.exchange(this.nobody, "POST", "/login", {
      type: "m.login.password",
      identifier: { type: "m.id.user", user: this.localpart(name) },
      password: passwordOf(name),
      device_id: device,
    });
    const { access_token } = answer.body as { access_token: string };
    return new Person(this, device.toLowerCase(), this.idOf(name), access_token, device);
  }

  /** The same person with another token. */
  as(person: Person, token: string | undefined, name = person.name): Person {
    return new Person(this, name, person.id, token, person.device);
  }

  exchange(
    person: Person,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Exchange> {
    const full =
      path.startsWith("/_matrix") || path.startsWith("/.well-known") ? path : `${client}/v3${path}`;
    return this.#client.exchange({
      method,
      path: full,
      ...(person.token !== undefined && { token: person.token }),
      ...(body !== undefined && { body }),
      ...(headers && { headers }),
    });
  }

  record(person: Person, exchange: Exchange, shows?: string): void {
    const { method, path } = exchange.request;
    const short = path.startsWith(`${client}/v3`) ? path.slice(`${client}/v3`.length) : path;
    const call = `${person.name} ${method} ${this.names.inPath(short)}`;
    this.sent.push(exchange.request.body);
    this.calls.push({
      call,
      ...(shows !== undefined && { shows }),
      status: exchange.status,
      ...(exchange.body === undefined
        ? { content: contentOf(exchange) }
        : { body: normalise(path, exchange.body, this.names) }),
    });
    this.problems.push(
      ...exchange.problems.map((problem) => `${call}${shows ? ` (${shows})` : ""}: ${problem}`),
    );
  }
}

export const passwordOf = (name: string) => `the password of ${name}`;

/** What may be shown inline ("Serving inline content"); of everything else the type does not matter. */
const inlineTypes = /^(text\/(css|plain|csv)|application\/(json|ld\+json)|image\/|video\/|audio\/)/;

function contentOf(exchange: Exchange): Record<string, string | number | null> {
  const type = exchange.headers.get("content-type")?.toLowerCase() ?? "";
  return {
    type: inlineTypes.test(type) ? type : "<never inline>",
    disposition: exchange.headers.get("content-disposition"),
    // A server may make its thumbnails as it likes, or answer with the original.
    ...(!exchange.request.path.includes("/thumbnail/") && { bytes: exchange.bytes.length }),
  };
}

/** Plays a scenario from start to end; a scenario that breaks off ends with what broke it. */
export async function play(
  scenario: Scenario,
  homeserver: TestHomeserver,
  conformance: Conformance | undefined,
): Promise<Story> {
  const story = new Story(homeserver, scenario.name.replaceAll(/[^a-z]+/g, "-"), conformance);
  await scenario.play(story);
  return story;
}
