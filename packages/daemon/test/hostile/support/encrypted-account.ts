/** A hostile member of an encrypted room: keys and encryption as they have to be, and whatever it likes inside. */
import { randomUUID } from "node:crypto";
import { EventTypes, generateSigningKey, type SigningKey, signContent } from "@mx-agent/protocol";
import { eventually } from "../../../../../scripts/eventually.ts";
import type { TestHomeserver } from "../../../../../scripts/homeservers.ts";
import type { UploadedMedia } from "../../../src/matrix/media.ts";
import { machine, send, type TestMachine } from "../../matrix/helpers.ts";
import { type Account, agentStateOf, type DeviceMessage, HttpRefusal, type RoomEvent } from "./account.ts";

export class EncryptedAccount implements Account {
  readonly key: SigningKey = generateSigningKey();
  readonly #machine: TestMachine;
  #room = "";

  private constructor(one: TestMachine) {
    this.#machine = one;
  }

  static async register(homeserver: TestHomeserver, name: string): Promise<EncryptedAccount> {
    const user = `${name}-${randomUUID().slice(0, 8)}`;
    await homeserver.registerUser(user, `pass-${user}`);
    return EncryptedAccount.#logIn(homeserver, user);
  }

  /** Another device of that user, who knows nothing of it, with a signing key of its own. */
  static anotherOf(homeserver: TestHomeserver, { user_id }: Account): Promise<EncryptedAccount> {
    return EncryptedAccount.#logIn(homeserver, user_id.slice(1, user_id.indexOf(":")));
  }

  static async #logIn(homeserver: TestHomeserver, user: string): Promise<EncryptedAccount> {
    const one = await machine({ url: homeserver.url, user, password: `pass-${user}` });
    await one.session.ready();
    return new EncryptedAccount(one);
  }

  get user_id(): string {
    return this.#machine.credentials.user_id;
  }

  get device_id(): string {
    return this.#machine.credentials.device_id;
  }

  get events(): RoomEvent[] {
    return this.#machine.events.flatMap(({ kind, type, sender, event_id, content }) =>
      kind === "timeline" ? [{ type, sender, event_id: event_id ?? "", content: Object(content) }] : [],
    );
  }

  get messages(): DeviceMessage[] {
    return this.#machine.events.flatMap(({ kind, type, sender, content }) =>
      kind === "to_device" ? [{ type, sender, content: Object(content) }] : [],
    );
  }

  async join(room: string): Promise<unknown> {
    await eventually(() => this.#machine.session.rooms.get(room)?.membership === "invite");
    this.#room = room;
    return this.#machine.session.join(room, []);
  }

  leave(room: string): Promise<unknown> {
    return this.#machine.session.leave(room);
  }

  async send(room: string, type: string, content: object): Promise<string> {
    await eventually(() => this.#machine.session.rooms.get(room)?.membership === "join");
    const sent = await send(this.#machine, { kind: "event", room_id: room, type, content });
    if (!sent.ok) throw new HttpRefusal(400, String(sent.error));
    return sent.event_id ?? "";
  }

  /** What is no JSON, or too deep for JSON.stringify, this side cannot encrypt. */
  async sendText(room: string, type: string, json: string): Promise<string> {
    try {
      const content: unknown = JSON.parse(json);
      return await this.send(room, type, Object(content));
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof RangeError)
        throw new HttpRefusal(400, String(error));
      throw error;
    }
  }

  sendState(room: string, type: string, state_key: string, content: object): Promise<unknown> {
    return this.#machine.session.setState(room, type, state_key, content);
  }

  async redact(room: string, event_id: string): Promise<unknown> {
    const { homeserver, access_token } = this.#machine.credentials;
    const path = `/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(event_id)}/${randomUUID()}`;
    const response = await fetch(`${homeserver}/_matrix/client/v3${path}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${access_token}`, "content-type": "application/json" },
      body: "{}",
    });
    if (!response.ok) throw new HttpRefusal(response.status, await response.text());
    return response.json();
  }

  sendToDevice(user_id: string, device_id: string, type: string, content: object): Promise<unknown> {
    return send(this.#machine, { kind: "to_device", room_id: this.#room, user_id, device_id, type, content });
  }

  async state(room: string, type: string, state_key: string): Promise<Record<string, unknown>> {
    return Object(this.#machine.session.rooms.stateEvent(room, type, state_key)?.content);
  }

  /** Uploads bytes that an event in this room will refer to, encrypted. */
  upload(room: string, bytes: Uint8Array<ArrayBuffer>, type: string): Promise<UploadedMedia> {
    return this.#machine.session.media.upload(room, bytes, type);
  }

  sign<T extends object>(room_id: string, type: string, content: T, key = this.key): T {
    return signContent(content, key, { room_id, type, sender: this.user_id, device_id: this.device_id });
  }

  async announce(room: string, agent_id: string, key = this.key): Promise<void> {
    await this.sendState(room, EventTypes.agent, agent_id, agentStateOf(this, room, agent_id, key));
  }

  until(wanted: (event: RoomEvent) => boolean): Promise<RoomEvent> {
    return eventually(() => this.events.find(wanted), "the event that was waited for");
  }

  /** It takes in by itself what comes. */
  async pump(): Promise<void> {}

  close(): Promise<void> {
    return this.#machine.close();
  }
}
