import { expect } from "vitest";
import { Conformance, outsideData, ValidatedClient } from "./validated-client.ts";

type Body = Record<string, unknown>;

/** Undefined where the outside data are missing. */
export const conformance: Conformance | undefined = outsideData ? new Conformance() : undefined;

/** What came back: the body is JSON, or empty where it was not. */
export interface Answer {
  readonly status: number;
  readonly body: Body;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

/**
 * Somebody with an access token, or nobody. Every answer is checked against the specification's OpenAPI
 * document, where that is there; a deviation fails the test.
 */
export class User {
  readonly id: string;
  readonly deviceId: string;
  readonly token: string | undefined;
  readonly #client: ValidatedClient;
  #txn = 0;

  constructor(client: ValidatedClient, login: { user_id: string; device_id: string; access_token?: string }) {
    this.#client = client;
    this.id = login.user_id;
    this.deviceId = login.device_id;
    this.token = login.access_token;
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer> {
    const full = path.startsWith("/_") || path.startsWith("/.") ? path : `/_matrix/client/v3${path}`;
    const exchange = await this.#client.exchange({
      method,
      path: full,
      ...(this.token === undefined ? {} : { token: this.token }),
      ...(body === undefined ? {} : { body }),
      ...(headers === undefined ? {} : { headers }),
    });
    expect(exchange.problems).toEqual([]);
    return {
      status: exchange.status,
      body: (exchange.body ?? {}) as Body,
      headers: exchange.headers,
      bytes: exchange.bytes,
    };
  }

  get = (path: string) => this.call("GET", path);
  put = (path: string, body: unknown = {}) => this.call("PUT", path, body);
  post = (path: string, body: unknown = {}) => this.call("POST", path, body);
  delete = (path: string, body?: unknown) => this.call("DELETE", path, body);

  /** Makes a room; answers with its id. */
  async room(body: Body = {}): Promise<string> {
    return text(await this.post("/createRoom", body), "room_id");
  }

  /** Sends a message; answers with its event id. */
  async say(roomId: string, body: string): Promise<string> {
    this.#txn += 1;
    const path = `/rooms/${roomId}/send/m.room.message/say${this.#txn}`;
    return text(await this.put(path, { msgtype: "m.text", body }), "event_id");
  }

  async sync(since?: string, query: Record<string, string> = {}): Promise<SyncAnswer> {
    const params = new URLSearchParams({ timeout: "0", ...query, ...(since === undefined ? {} : { since }) });
    const answer = await this.get(`/sync?${params}`);
    expect(answer.status).toBe(200);
    return answer.body as unknown as SyncAnswer;
  }

  /** The same user on another device. */
  async device(deviceId: string, password = "secret"): Promise<User> {
    return await logIn(this.#client, this.id, password, deviceId);
  }
}

export interface EventJson {
  type: string;
  sender: string;
  event_id: string;
  state_key?: string;
  content: Body;
  unsigned: Body;
}

/** What each event says; undefined for one that is no message. */
export const bodies = (events: unknown): unknown[] =>
  ((events ?? []) as EventJson[]).map((event) => event.content.body);

export interface RoomJson {
  timeline: { events: EventJson[]; limited: boolean; prev_batch: string };
  state: { events: EventJson[] };
  ephemeral: { events: { type: string; content: Body }[] };
  account_data: { events: { type: string; content: Body }[] };
  unread_notifications: { notification_count: number; highlight_count: number };
  summary: Body;
}

export interface SyncAnswer {
  next_batch: string;
  rooms?: {
    join?: Record<string, RoomJson>;
    leave?: Record<string, RoomJson>;
    invite?: Record<string, { invite_state: { events: EventJson[] } }>;
    knock?: Record<string, { knock_state: { events: EventJson[] } }>;
  };
  to_device?: { events: { type: string; sender: string; content: Body }[] };
  account_data?: { events: { type: string; content: Body }[] };
  device_lists?: { changed: string[]; left: string[] };
  device_one_time_keys_count: Record<string, number>;
  device_unused_fallback_key_types: string[];
}

/** A string of an answer that must have succeeded. */
export function text(answer: Answer, key: string): string {
  expect(answer.body).toHaveProperty(key);
  return String(answer.body[key]);
}

export function clientOf(server: { url: string }): ValidatedClient {
  return new ValidatedClient(server.url, conformance);
}

/** The body of a login by password. */
export const passwordLogin = (user: string, password = "secret", more = {}) => ({
  type: "m.login.password",
  identifier: { type: "m.id.user", user },
  password,
  ...more,
});

/** Somebody without a token. */
export function nobody(server: { url: string }): User {
  return new User(clientOf(server), { user_id: "", device_id: "" });
}

async function logIn(
  client: ValidatedClient,
  name: string,
  password: string,
  deviceId: string,
): Promise<User> {
  const stranger = new User(client, { user_id: "", device_id: "" });
  const answer = await stranger.post("/login", {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: name },
    password,
    device_id: deviceId,
  });
  expect(answer.status).toBe(200);
  return new User(client, answer.body as never);
}

/** Makes an account with the password `secret` on a server that is open for it, and signs it in. */
export async function newUser(server: { url: string }, name: string): Promise<User> {
  const client = clientOf(server);
  const answer = await new User(client, { user_id: "", device_id: "" }).post("/register", {
    username: name,
    password: "secret",
    device_id: name.toUpperCase(),
    auth: { type: "m.login.dummy" },
  });
  expect(answer.status).toBe(200);
  return new User(client, answer.body as never);
}

/** Signs an account with the password `secret` in on another device. */
export async function signIn(server: { url: string }, name: string, deviceId: string): Promise<User> {
  return await logIn(clientOf(server), name, "secret", deviceId);
}

/** A room of the owner's with the guest in it. */
export async function sharedRoom(owner: User, guest: User, body: Body = {}): Promise<string> {
  const room = await owner.room({ invite: [guest.id], ...body });
  expect((await guest.post(`/join/${room}`)).status).toBe(200);
  return room;
}
