/** Asking the executing side what became of a request of ours, when nothing was heard of it. */
import { EventTypes, newNonce, parseContent } from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { Outbox, Rooms } from "../matrix/api.ts";
import type { Request } from "../state/requests.ts";

/** How many questions may be unanswered: the oldest are given up. */
const MAX_OPEN = 1_000;
/** The first pause before the same is asked once more; it doubles up to a minute. */
const ASK_AGAIN_MS = 2_000;
const MAX_PAUSE_MS = 60_000;

export interface InquiryParts {
  identity: Identity;
  rooms: Rooms;
  outbox: Outbox;
}

export class Inquiry {
  readonly #parts: InquiryParts;
  /** The invocation that was asked about, by the question's nonce. */
  readonly #open = new Map<string, string>();

  readonly #again = new Set<NodeJS.Timeout>();

  constructor(parts: InquiryParts) {
    this.#parts = parts;
  }

  /** Asks the device that is known to execute it, and the one that the agent's state names where that is another. */
  ask(request: Request): void {
    // A daemon of the first protocol has no such question.
    if (request.legacy) return;
    for (const device_id of this.#devicesOf(request)) this.#send(request, device_id);
  }

  /** Asks until `unheard` is over: the request itself may still be on its way, and a question about it comes too early. */
  askWhile(request: Request, unheard: () => boolean, pause_ms = ASK_AGAIN_MS): void {
    if (!unheard()) return;
    this.ask(request);
    const timer = setTimeout(() => {
      this.#again.delete(timer);
      this.askWhile(request, unheard, Math.min(2 * pause_ms, MAX_PAUSE_MS));
    }, pause_ms);
    timer.unref();
    this.#again.add(timer);
  }

  close(): void {
    for (const timer of this.#again) clearTimeout(timer);
    this.#again.clear();
  }

  /** Whether that is the answer to a question of ours; each counts once. */
  isAnswer(invocation_id: string, nonce: string): boolean {
    if (this.#open.get(nonce) !== invocation_id) return false;
    return this.#open.delete(nonce);
  }

  #send(request: Request, device_id: string): void {
    const { identity, outbox } = this.#parts;
    const { invocation_id, room_id, target_user: user_id } = request;
    const nonce = newNonce();
    this.#open.set(nonce, invocation_id);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= MAX_OPEN) break;
      this.#open.delete(oldest);
    }
    const type = EventTypes.invocationQuery;
    const content = identity.sign(room_id, type, { invocation_id, nonce });
    outbox.enqueue({ kind: "to_device", room_id, user_id, device_id, type, content }, { volatile: true });
  }

  #devicesOf({ room_id, agent, target_user, target_device }: Request): Set<string> {
    const devices = new Set(target_device === null ? [] : [target_device]);
    const state = this.#parts.rooms.stateEvent(room_id, EventTypes.agent, agent);
    const parsed = state && parseContent(EventTypes.agent, state.content);
    if (parsed?.ok && parsed.value.matrix_user_id === target_user) devices.add(parsed.value.device_id);
    return devices;
  }
}
