/** A Matrix account that a test drives by bare HTTP: a room member who keeps to no rule of ours. */
import { randomBytes, randomUUID, sign } from "node:crypto";
import {
  canonicalBytes,
  EventTypes,
  encodePublicKey,
  generateSigningKey,
  type SigningKey,
  signContent,
} from "@mx-agent/protocol";
import type { TestHomeserver } from "../../../../../scripts/homeservers.ts";

export interface RoomEvent {
  type: string;
  sender: string;
  event_id: string;
  content: Record<string, unknown>;
}

export interface DeviceMessage {
  type: string;
  sender: string;
  content: Record<string, unknown>;
}

interface SyncAnswer {
  next_batch: string;
  to_device?: { events?: DeviceMessage[] };
  rooms?: { join?: Record<string, { timeline?: { events?: RoomEvent[] } }> };
}

export class HttpRefusal extends Error {
  readonly status: number;

  constructor(status: number, body: string) {
    super(`${status}: ${body.slice(0, 300)}`);
    this.status = status;
  }
}

/** What a test lets somebody do who keeps to no rule of ours. */
export interface Account {
  readonly user_id: string;
  readonly device_id: string;
  readonly key: SigningKey;
  readonly events: RoomEvent[];
  readonly messages: DeviceMessage[];
  join(room: string): Promise<unknown>;
  leave(room: string): Promise<unknown>;
  send(room: string, type: string, content: object): Promise<string>;
  sendText(room: string, type: string, json: string): Promise<string>;
  sendState(room: string, type: string, state_key: string, content: object): Promise<unknown>;
  redact(room: string, event_id: string): Promise<unknown>;
  sendToDevice(user_id: string, device_id: string, type: string, content: object): Promise<unknown>;
  state(room: string, type: string, state_key: string): Promise<Record<string, unknown>>;
  sign<T extends object>(room_id: string, type: string, content: T, key?: SigningKey): T;
  announce(room: string, agent_id: string, key?: SigningKey): Promise<void>;
  until(wanted: (event: RoomEvent) => boolean, seconds?: number): Promise<RoomEvent>;
  pump(timeout?: number): Promise<void>;
  close(): Promise<void>;
}

/** A signed agent state, as a daemon writes it. */
export function agentStateOf(who: Account, room: string, agent_id: string, key: SigningKey): object {
  const content = {
    agent_id,
    kind: "test",
    matrix_user_id: who.user_id,
    device_id: who.device_id,
    signing_key_id: key.key_id,
    signing_public_key: encodePublicKey(key.publicKey),
    status: "active",
    capabilities: [],
    tools: [],
    workspace: { cwd: "", project_id: "", git_commit: "" },
    load: { running_invocations: 0, max_invocations: 1 },
    last_seen_ts: Date.now(),
    state_rev: 1,
  };
  return who.sign(room, EventTypes.agent, content, key);
}

export class RawAccount implements Account {
  readonly user_id: string;
  readonly device_id: string;
  readonly key: SigningKey = generateSigningKey();
  /** Everything of our types that came, in every room, oldest first. */
  readonly events: RoomEvent[] = [];
  readonly messages: DeviceMessage[] = [];
  readonly #url: string;
  readonly #token: string;
  #since: string | undefined;

  private constructor(url: string, user_id: string, device_id: string, token: string) {
    this.#url = url;
    this.user_id = user_id;
    this.device_id = device_id;
    this.#token = token;
  }

  static async register(homeserver: TestHomeserver, name: string): Promise<RawAccount> {
    const user = `${name}-${randomUUID().slice(0, 8)}`;
    await homeserver.registerUser(user, `pass-${user}`);
    const identifier = { type: "m.id.user", user };
    const response = await fetch(`${homeserver.url}/_matrix/client/v3/login`, {
      method: "POST",
      body: JSON.stringify({ type: "m.login.password", identifier, password: `pass-${user}` }),
    });
    const answer: { user_id: string; device_id: string; access_token: string } = JSON.parse(
      await response.text(),
    );
    const account = new RawAccount(homeserver.url, answer.user_id, answer.device_id, answer.access_token);
    await account.#uploadDeviceKeys();
    return account;
  }

  /** As every device does that can take encrypted messages; a device without keys is told nothing. */
  #uploadDeviceKeys(): Promise<unknown> {
    const identity = generateSigningKey();
    const { user_id, device_id } = this;
    const keys = {
      user_id,
      device_id,
      algorithms: ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
      keys: {
        [`ed25519:${device_id}`]: encodePublicKey(identity.publicKey),
        [`curve25519:${device_id}`]: encodePublicKey(randomBytes(32)),
      },
    };
    const signature = sign(null, canonicalBytes(keys), identity.privateKey)
      .toString("base64")
      .replace(/=+$/, "");
    const device_keys = { ...keys, signatures: { [user_id]: { [`ed25519:${device_id}`]: signature } } };
    return this.#ask("POST", "/keys/upload", JSON.stringify({ device_keys }));
  }

  join(room: string): Promise<unknown> {
    return this.#ask("POST", `/join/${encodeURIComponent(room)}`, "{}");
  }

  leave(room: string): Promise<unknown> {
    return this.#ask("POST", `/rooms/${encodeURIComponent(room)}/leave`, "{}");
  }

  /** Sends an event whose content is this JSON text, whatever it is; answers its id. */
  async sendText(room: string, type: string, json: string): Promise<string> {
    const path = `/rooms/${encodeURIComponent(room)}/send/${type}/${randomUUID()}`;
    const { event_id } = await this.#ask<{ event_id: string }>("PUT", path, json);
    return event_id;
  }

  send(room: string, type: string, content: object): Promise<string> {
    return this.sendText(room, type, JSON.stringify(content));
  }

  sendState(room: string, type: string, state_key: string, content: object): Promise<unknown> {
    const path = `/rooms/${encodeURIComponent(room)}/state/${type}/${encodeURIComponent(state_key)}`;
    return this.#ask("PUT", path, JSON.stringify(content));
  }

  redact(room: string, event_id: string): Promise<unknown> {
    const path = `/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(event_id)}/${randomUUID()}`;
    return this.#ask("PUT", path, "{}");
  }

  sendToDevice(user_id: string, device_id: string, type: string, content: object): Promise<unknown> {
    const body = JSON.stringify({ messages: { [user_id]: { [device_id]: content } } });
    return this.#ask("PUT", `/sendToDevice/${type}/${randomUUID()}`, body);
  }

  state(room: string, type: string, state_key: string): Promise<Record<string, unknown>> {
    return this.#ask(
      "GET",
      `/rooms/${encodeURIComponent(room)}/state/${type}/${encodeURIComponent(state_key)}`,
    );
  }

  /** Uploads bytes that an event in this plain room will refer to. */
  async upload(_room: string, bytes: Uint8Array<ArrayBuffer>, type: string): Promise<{ mxc_uri: string }> {
    const response = await fetch(`${this.#url}/_matrix/media/v3/upload`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.#token}`, "content-type": type },
      body: bytes,
    });
    const { content_uri }: { content_uri: string } = JSON.parse(await response.text());
    return { mxc_uri: content_uri };
  }

  /** Content bound to the event that will carry it, and signed with this account's key. */
  sign<T extends object>(room_id: string, type: string, content: T, key = this.key): T {
    return signContent(content, key, { room_id, type, sender: this.user_id, device_id: this.device_id });
  }

  /** Announces an agent of this account in a room, as its daemon would. */
  async announce(room: string, agent_id: string, key = this.key): Promise<void> {
    await this.sendState(room, EventTypes.agent, agent_id, agentStateOf(this, room, agent_id, key));
  }

  /** Waits for an event that came or comes. */
  async until(wanted: (event: RoomEvent) => boolean, seconds = 30): Promise<RoomEvent> {
    return this.#wait(() => this.events.find(wanted), seconds);
  }

  async untilMessage(wanted: (message: DeviceMessage) => boolean, seconds = 30): Promise<DeviceMessage> {
    return this.#wait(() => this.messages.find(wanted), seconds);
  }

  async #wait<T>(look: () => T | undefined, seconds: number): Promise<T> {
    const deadline = performance.now() + seconds * 1000;
    for (let found = look(); ; found = look()) {
      if (found !== undefined) return found;
      if (performance.now() > deadline) throw new Error("what was waited for has not come");
      await this.pump(1_000);
    }
  }

  /** It holds nothing open. */
  async close(): Promise<void> {}

  /** Takes in what has come since the last time. */
  async pump(timeout = 0): Promise<void> {
    const filter = JSON.stringify({ room: { timeline: { limit: 1000 } } });
    const since = this.#since === undefined ? "" : `&since=${encodeURIComponent(this.#since)}`;
    const path = `/sync?timeout=${timeout}&filter=${encodeURIComponent(filter)}${since}`;
    const answer = await this.#ask<SyncAnswer>("GET", path);
    this.#since = answer.next_batch;
    for (const room of Object.values(answer.rooms?.join ?? {}))
      this.events.push(...(room.timeline?.events ?? []));
    this.messages.push(...(answer.to_device?.events ?? []));
  }

  async #ask<T = unknown>(method: string, path: string, body?: string): Promise<T> {
    const response = await fetch(`${this.#url}/_matrix/client/v3${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    if (!response.ok) throw new HttpRefusal(response.status, text);
    return JSON.parse(text);
  }
}
