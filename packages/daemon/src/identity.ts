import { type SigningKey, signContent } from "@mx-agent/protocol";
import type { Account } from "./matrix/api.ts";

/** What this daemon was before a new login, or before its key was rotated. */
export interface Earlier {
  key_ids: readonly string[];
  device_ids: readonly string[];
}

/** Who this daemon is in its rooms: one signing key for its Matrix user, and the device that it sends from. */
export class Identity {
  readonly key: SigningKey;
  readonly account: Account;
  readonly #earlier: Earlier;

  constructor(key: SigningKey, account: Account, earlier: Earlier = { key_ids: [], device_ids: [] }) {
    this.key = key;
    this.account = account;
    this.#earlier = earlier;
  }

  /** Binds content to room, type, sender and device, and signs it (PROTOCOL.md, "Signing"). */
  sign<T extends object>(room_id: string, type: string, content: T): T {
    return signContent(content, this.key, {
      room_id,
      type,
      sender: this.account.user_id,
      device_id: this.account.device_id,
    });
  }

  /** Whether a key and a device of this user are, or were, this daemon's, and not another daemon's of the same user. */
  isSelf(key_id: string, device_id: string): boolean {
    const { key_ids, device_ids } = this.#earlier;
    return (
      (key_id === this.key.key_id || key_ids.includes(key_id)) &&
      (device_id === this.account.device_id || device_ids.includes(device_id))
    );
  }
}
