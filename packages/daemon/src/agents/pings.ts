import {
  decodePublicKey,
  EventTypes,
  isAgentId,
  newNonce,
  PING_ANSWER_INTERVAL_MS,
  parseContent,
} from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { IncomingEvent, Outbox, Rooms } from "../matrix/api.ts";
import { isFrom } from "../receive/verify.ts";
import type { OwnAgents } from "../state/own-agents.ts";
import type { TrustTable } from "../state/trust.ts";

export interface PingTarget {
  room_id: string;
  agent: string;
  user_id: string;
  /** The device that the agent's state names. */
  device_id: string;
  key_id: string;
  public_key: string;
  legacy: boolean;
}

interface Outstanding {
  target: PingTarget;
  from_agent: string;
  sent: number;
  pong(round_trip_ms: number): void;
}

export interface PingParts {
  identity: Identity;
  outbox: Outbox;
  rooms: Rooms;
  trust: TrustTable;
  ownAgents: OwnAgents;
  now(): number;
}

/**
 * Asks agents whether they are there, and answers those who may ask: only keys that are trusted here, once a
 * second each; the rest hear nothing (PROTOCOL.md, "To-device events").
 */
export class Pings {
  readonly #parts: PingParts;
  readonly #outstanding = new Map<string, Outstanding>();
  readonly #answered = new Map<string, number>();

  constructor(parts: PingParts) {
    this.#parts = parts;
  }

  /** Milliseconds until the pong, or null when none came in time. */
  ping(target: PingTarget, from_agent: string, timeout_ms: number): Promise<number | null> {
    const { identity, outbox } = this.#parts;
    const nonce = newNonce();
    const content = { from_agent, target_agent: target.agent, nonce, ts: this.#parts.now() };
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#outstanding.delete(nonce);
        resolve(null);
      }, timeout_ms);
      const sent = performance.now();
      const pong = (round_trip_ms: number) => {
        clearTimeout(timer);
        resolve(round_trip_ms);
      };
      this.#outstanding.set(nonce, { target, from_agent, sent, pong });
      outbox.enqueue(
        {
          kind: "to_device",
          room_id: target.room_id,
          user_id: target.user_id,
          device_id: target.device_id,
          type: EventTypes.ping,
          content: identity.sign(target.room_id, EventTypes.ping, content),
        },
        { volatile: true },
      );
    });
  }

  onEvent(event: IncomingEvent): void {
    if (event.type === EventTypes.ping) this.#onPing(event);
    else this.#onPong(event);
  }

  #onPong(event: IncomingEvent): void {
    const parsed = parseContent(EventTypes.pong, event.content);
    if (!parsed.ok) return;
    const outstanding = this.#outstanding.get(parsed.value.nonce);
    if (!outstanding) return;
    const { target, from_agent } = outstanding;
    const public_key = decodePublicKey(target.public_key);
    if (!public_key || parsed.value.target_agent !== target.agent || parsed.value.from_agent !== from_agent)
      return;
    if (!isFrom(event, { ...target, public_key }, this.#encrypted(target.room_id))) return;
    this.#outstanding.delete(parsed.value.nonce);
    outstanding.pong(performance.now() - outstanding.sent);
  }

  #onPing(event: IncomingEvent): void {
    const parsed = parseContent(EventTypes.ping, event.content);
    if (!parsed.ok || !parsed.value.binding || !parsed.value.signature) return;
    const { room_id, device_id } = parsed.value.binding;
    const { from_agent, target_agent, nonce } = parsed.value;
    const { identity, trust, ownAgents, rooms, outbox, now } = this.#parts;
    if (
      !isAgentId(target_agent) ||
      !ownAgents.find(room_id, target_agent) ||
      !rooms.isJoined(room_id, event.sender)
    )
      return;
    const { key_id } = parsed.value.signature;
    // Another daemon of our own user has a key of its own, which is approved like anybody's.
    const own = event.sender === identity.account.user_id && key_id === identity.key.key_id;
    const entry = trust.find(room_id, from_agent, key_id);
    const public_key = own ? identity.key.publicKey : entry && decodePublicKey(entry.public_key);
    if (!public_key || (!own && (entry?.status !== "trusted" || entry.user_id !== event.sender))) return;
    const expected = { room_id, user_id: event.sender, key_id, public_key, legacy: false, device_id };
    if (!isFrom(event, expected, this.#encrypted(room_id))) return;
    if (now() - (this.#answered.get(key_id) ?? 0) < PING_ANSWER_INTERVAL_MS) return;
    this.#answered.set(key_id, now());
    const content = { from_agent, target_agent, nonce, ts: now() };
    outbox.enqueue(
      {
        kind: "to_device",
        room_id,
        user_id: event.sender,
        device_id,
        type: EventTypes.pong,
        content: identity.sign(room_id, EventTypes.pong, content),
      },
      { volatile: true },
    );
  }

  #encrypted(room_id: string): boolean {
    return this.#parts.rooms.get(room_id)?.encrypted ?? false;
  }
}
