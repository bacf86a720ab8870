import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { RoomTable } from "../state/rooms.ts";
import type { Account, Outgoing } from "./api.ts";
import type { Intake } from "./intake.ts";
import { isVerified } from "./transport.ts";

export interface OwnDeviceOptions {
  crypto: RustCrypto;
  account: Account;
  rooms: RoomTable;
  intake: Intake;
  /** Something was stored that is to be delivered. */
  onStored: () => void;
}

/**
 * What this device is sent by itself in an encrypted room: the output of a command that this machine asked of
 * itself, a ping to an agent of its own. Olm has no session of a device with itself, and as plain text it may not
 * leave: it goes into the inbox here. The request and its outcome went through the room like everybody's.
 */
export interface OwnDevice {
  is(outgoing: Outgoing): boolean;
  take(outgoing: Outgoing): Promise<void>;
}

export function ownDevice({ crypto, account, rooms, intake, onStored }: OwnDeviceOptions): OwnDevice {
  const { user_id, device_id } = account;
  return {
    is: (to) =>
      to.kind === "to_device" &&
      to.user_id === user_id &&
      to.device_id === device_id &&
      rooms.isEncrypted(to.room_id),
    async take({ type, content }) {
      const verified = await isVerified(crypto, user_id, device_id);
      const message = { type, sender: user_id, content: JSON.parse(JSON.stringify(content)) };
      intake.take({ ...message, transport: { encrypted: true, device_id, authentic: true, verified } });
      onStored();
    },
  };
}
