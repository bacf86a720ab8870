import { type SigningKey, signContent } from "@mx-agent/protocol";
import type { Account } from "./matrix/api.ts";

/** Who this daemon is in its rooms: one signing key for its Matrix user, and the device that it sends from. */
export class Identity {
  readonly key: SigningKey;
  readonly account: Account;

  constructor(key: SigningKey, account: Account) {
    this.key = key;
    this.account = account;
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
}
