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
  /** Who waits for the answer. */
  waiting: Set<(round_trip_ms: number) => void>;
}

/** Of one asker, for one agent here: when it was answered last, and the answer that waits for its second to be over. */
interface Answers {
  last: number;
  next?: { timer: NodeJS.Timeout; send: () => void };
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
 * second each for each agent; the rest hear nothing (PROTOCOL.md, "To-device events"). What comes sooner is
 * answered when the second is over, the newest alone, and who asks twice at once asks once.
 */
export class Pings {
  readonly #parts: PingParts;
  readonly #outstanding = new Map<string, Outstanding>();
  readonly #answers = new Map<string, Answers>();

  constructor(parts: PingParts) {
    this.#parts = parts;
  }

  /** Milliseconds until the pong, or null when none came in time. */
  ping(target: PingTarget, from_agent: string, timeout_ms: number): Promise<number | null> {
    const [nonce, outstanding] = this.#alreadyAsked(target, from_agent) ?? this.#ask(target, from_agent);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        outstanding.waiting.delete(pong);
        if (outstanding.waiting.size === 0) this.#outstanding.delete(nonce);
        resolve(null);
      }, timeout_ms);
      const pong = (round_trip_ms: number) => {
        clearTimeout(timer);
        resolve(round_trip_ms);
      };
      outstanding.waiting.add(pong);
    });
  }

  /** Answers nobody any more. */
  close(): void {
    for (const { next } of this.#answers.values()) clearTimeout(next?.timer);
  }

  #alreadyAsked(target: PingTarget, from_agent: string): [string, Outstanding] | undefined {
    const asked = JSON.stringify([target, from_agent]);
    return [...this.#outstanding].find(([, one]) => JSON.stringify([one.target, one.from_agent]) === asked);
  }

  #ask(target: PingTarget, from_agent: string): [string, Outstanding] {
    const { identity, outbox, now } = this.#parts;
    const nonce = newNonce();
    const content = { from_agent, target_agent: target.agent, nonce, ts: now() };
    const outstanding = {
      target,
      from_agent,
      sent: performance.now(),
      waiting: new Set<(round_trip_ms: number) => void>(),
    };
    this.#outstanding.set(nonce, outstanding);
    const { room_id, user_id, device_id } = target;
    const type = EventTypes.ping;
    const signed = identity.sign(room_id, type, content);
    outbox.enqueue(
      { kind: "to_device", room_id, user_id, device_id, type, content: signed },
      { volatile: true },
    );
    return [nonce, outstanding];
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
    for (const pong of outstanding.waiting) pong(performance.now() - outstanding.sent);
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
    this.#answerInTime(JSON.stringify([key_id, room_id, target_agent]), () => {
      const content = { from_agent, target_agent, nonce, ts: now() };
      const type = EventTypes.pong;
      const signed = identity.sign(room_id, type, content);
      outbox.enqueue(
        { kind: "to_device", room_id, user_id: event.sender, device_id, type, content: signed },
        { volatile: true },
      );
    });
  }

  #answerInTime(asker: string, send: () => void): void {
    const { now } = this.#parts;
    const answers = this.#answers.get(asker) ?? { last: Number.NEGATIVE_INFINITY };
    this.#answers.set(asker, answers);
    if (answers.next) {
      answers.next.send = send;
      return;
    }
    // A clock that was set back keeps nobody waiting for longer.
    const wait = Math.min(answers.last + PING_ANSWER_INTERVAL_MS - now(), PING_ANSWER_INTERVAL_MS);
    const answer = (sendIt: () => void) => {
      answers.last = now();
      delete answers.next;
      sendIt();
    };
    if (wait <= 0) answer(send);
    else
      answers.next = {
        send,
        timer: setTimeout(() => answer(answers.next?.send ?? send), wait),
      };
  }

  #encrypted(room_id: string): boolean {
    return this.#parts.rooms.get(room_id)?.encrypted ?? false;
  }
}
