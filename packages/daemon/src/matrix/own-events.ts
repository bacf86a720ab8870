import type { InboxRow } from "../state/inbox.ts";
import { isRecord } from "./types.ts";

/** Events whose echo has not come yet; of those that are forgotten the echo is decrypted like any other. */
const KEPT = 32;

export interface OwnEvent {
  room_id: string;
  type: string;
  /** JSON, as it was encrypted. */
  content: string;
}

/**
 * What this session has encrypted lately. /sync brings every event back to its sender, and to decrypt one's own words
 * costs as much as those of others. Only the very ciphertext, once, from this user and in its room, counts as such.
 */
export class OwnEvents {
  readonly #user_id: string;
  readonly #byCiphertext = new Map<string, OwnEvent>();

  constructor(user_id: string) {
    this.#user_id = user_id;
  }

  remember(wire: object, event: OwnEvent): void {
    const ciphertext = ciphertextOf(wire);
    if (ciphertext === undefined) return;
    this.#byCiphertext.set(ciphertext, event);
    for (const oldest of this.#byCiphertext.keys()) {
      if (this.#byCiphertext.size <= KEPT) break;
      this.#byCiphertext.delete(oldest);
    }
  }

  take({ sender, room_id, content }: Pick<InboxRow, "sender" | "room_id" | "content">): OwnEvent | undefined {
    if (sender !== this.#user_id || this.#byCiphertext.size === 0) return undefined;
    const ciphertext = ciphertextOf(JSON.parse(content));
    const found = ciphertext === undefined ? undefined : this.#byCiphertext.get(ciphertext);
    if (ciphertext === undefined || found?.room_id !== room_id) return undefined;
    this.#byCiphertext.delete(ciphertext);
    return found;
  }
}

function ciphertextOf(wire: unknown): string | undefined {
  return isRecord(wire) && typeof wire.ciphertext === "string" ? wire.ciphertext : undefined;
}
