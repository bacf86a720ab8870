import { RoomId } from "@matrix-org/matrix-sdk-crypto-wasm";
import { mxError } from "@mx-agent/base";
import type { KeysTo, WithoutKeys } from "@mx-agent/ipc";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/CryptoEvent.js";
import {
  AllDevicesIsolationMode,
  OnlySignedDevicesIsolationMode,
} from "matrix-js-sdk/lib/crypto-api/index.js";
import type { MatrixEvent } from "matrix-js-sdk/lib/models/event.js";
import { Room } from "matrix-js-sdk/lib/models/room.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Settings } from "../../state/settings.ts";
import type { Account } from "../api.ts";
import { describe, type Logger } from "../types.ts";
import type { Devices } from "./devices.ts";
import { olmMachineOf } from "./olm-machine.ts";
import { Withheld } from "./withheld.ts";

export interface RecipientsOptions {
  client: MatrixClient;
  crypto: RustCrypto;
  account: Account;
  settings: Settings;
  devices: Devices;
  /** Users whose key was revoked in that room, and no other of whom is trusted there. */
  revokedIn: (room_id: string) => ReadonlySet<string>;
  logger: Logger;
}

const REASONS: Readonly<Record<WithoutKeys["why"], string>> = {
  revoked: "the key that was approved for it is revoked",
  unsigned: "no device of its is signed, and only signed ones get keys",
  identity_changed: "it has another identity than the one that was verified",
};

const settingOf = (room_id: string) => `keys.to.${room_id}`;
/** News of devices come in bursts. */
const LOOK_AFTER_MS = 500;
/** A room of more people is no workspace, and looking at all of their devices takes long. */
const MAX_LOOKED_AT = 200;
const allDevices = new AllDevicesIsolationMode(false);
const signedDevices = new OnlySignedDevicesIsolationMode();

/**
 * Who gets the keys of what we send into a room. A device that the homeserver adds for somebody runs nothing, but
 * could read: so only devices that their owners have signed get them, from when every device in the room is, for
 * good. A user whose key was revoked gets none, on no device, from the next message on.
 */
export class Recipients {
  readonly #options: RecipientsOptions;
  readonly #waiting = new Set<string>();
  readonly #withheld: Withheld;
  #look: NodeJS.Timeout | undefined;

  constructor(options: RecipientsOptions) {
    this.#options = options;
    this.#withheld = new Withheld(options);
    options.client.on(CryptoEvent.DevicesUpdated, () => this.#lookSoon());
  }

  keysTo(room_id: string): KeysTo {
    return this.#chosen(room_id) ?? "all";
  }

  /** `auto`: signed devices alone as soon as every one is. MX_UNSIGNED_DEVICE where this very device is not signed. */
  async set(room_id: string, to: KeysTo | "auto"): Promise<KeysTo> {
    const { settings } = this.#options;
    if (to === "signed" && !(await this.#isSigned())) throw mxError("MX_UNSIGNED_DEVICE", { room: room_id });
    if (to === "auto") settings.delete(settingOf(room_id));
    else settings.set(settingOf(room_id), to);
    if (to === "auto") await this.#adopt(room_id);
    return this.keysTo(room_id);
  }

  /** Devices of members that get no keys, and why. */
  async without(room_id: string): Promise<WithoutKeys[]> {
    const members = await this.#members(room_id);
    const cut = await this.#cutOff(room_id, members);
    const signedOnly = this.keysTo(room_id) === "signed";
    const devices = await this.#options.devices.list(members.map(({ userId }) => userId));
    return devices.flatMap((device): WithoutKeys[] => {
      const why = cut.get(device.user_id) ?? (signedOnly && !device.signed_by_owner ? "unsigned" : undefined);
      return why === undefined ? [] : [{ ...device, why }];
    });
  }

  /** MX_UNSIGNED_DEVICE in a room for signed devices when this one is not. */
  async requireOwnSignature(room_id: string): Promise<void> {
    const signed = this.keysTo(room_id) === "all" || (await this.#isSigned());
    if (signed) this.#waiting.delete(room_id);
    else this.#waiting.add(room_id);
    if (!signed) throw mxError("MX_UNSIGNED_DEVICE", { room: room_id });
  }

  /** MX_UNREADABLE when no device of that user can read what is sent into this encrypted room. */
  async requireReader(room_id: string, user_id: string): Promise<void> {
    if (this.keysTo(room_id) === "all" && !this.#options.revokedIn(room_id).has(user_id)) return;
    const without = (await this.without(room_id)).filter((device) => device.user_id === user_id);
    const all = await this.#options.devices.list([user_id]);
    const [first] = without;
    if (!first || without.length < all.length || user_id === this.#options.account.user_id) return;
    throw mxError("MX_UNREADABLE", { room: room_id, user: user_id, detail: REASONS[first.why] });
  }

  /** Rooms into which nothing can be sent before this device is signed. */
  waiting(): readonly string[] {
    return [...this.#waiting];
  }

  /** Encrypts it for those alone who are to read this room; `everybody`: signed or not, but for who was revoked. */
  async encrypt(event: MatrixEvent, room: Room, to: "readers" | "everybody" = "readers"): Promise<void> {
    const { crypto } = this.#options;
    const signedOnly = to === "readers" && this.keysTo(room.roomId) === "signed";
    if (signedOnly) await this.requireOwnSignature(room.roomId);
    const members = await this.#members(room.roomId);
    const cut = await this.#cutOff(room.roomId, members);
    // The session is replaced by itself when somebody who has it is no longer among them.
    room.getEncryptionTargetMembers = async () =>
      (await Room.prototype.getEncryptionTargetMembers.call(room)).filter(({ userId }) => !cut.has(userId));
    // The mode is one for all rooms, and is read before the call returns.
    crypto.setDeviceIsolationMode(signedOnly ? signedDevices : allDevices);
    const encrypting = crypto.encryptEvent(event, room);
    crypto.setDeviceIsolationMode(allDevices);
    await encrypting;
    const present = new Map([...cut].filter(([user]) => members.some(({ userId }) => userId === user)));
    await this.#withheld.tell(room.roomId, event.getWireContent().session_id, present);
  }

  /**
   * Keys are sent once, and who never got them reads nothing until the session is replaced. Where nobody answered, that
   * may be why: what is sent next is encrypted by a new session, whose keys go to everybody again.
   */
  startAnew(room_id: string): void {
    const { crypto, logger } = this.#options;
    olmMachineOf(crypto)
      .invalidateGroupSession(new RoomId(room_id))
      .catch((error: unknown) =>
        logger.warn({ room_id, error: describe(error) }, "the session of a room could not be replaced"),
      );
  }

  close(): void {
    clearTimeout(this.#look);
  }

  /**
   * Users that get none on any device. One whose identity is no longer the one that was verified is among them where
   * signatures count: the SDK would refuse to encrypt for anybody.
   */
  async #cutOff(
    room_id: string,
    members: readonly { userId: string }[],
  ): Promise<Map<string, WithoutKeys["why"]>> {
    const { crypto, account } = this.#options;
    const cut = new Map<string, WithoutKeys["why"]>();
    if (this.keysTo(room_id) === "signed")
      for (const { userId } of members) {
        const status = await crypto.getUserVerificationStatus(userId);
        if (status.wasCrossSigningVerified() && !status.isVerified()) cut.set(userId, "identity_changed");
      }
    for (const user of this.#options.revokedIn(room_id)) cut.set(user, "revoked");
    cut.delete(account.user_id);
    return cut;
  }

  #chosen(room_id: string): KeysTo | undefined {
    const chosen = this.#options.settings.get(settingOf(room_id));
    return chosen === "all" || chosen === "signed" ? chosen : undefined;
  }

  #lookSoon(): void {
    this.#look ??= setTimeout(() => {
      this.#look = undefined;
      const rooms = this.#options.client.getRooms().filter((room) => room.hasEncryptionStateEvent());
      const undecided = rooms.filter(({ roomId }) => this.#chosen(roomId) === undefined);
      Promise.all(undecided.map(({ roomId }) => this.#adopt(roomId))).catch((error: unknown) =>
        this.#options.logger.warn({ error: describe(error) }, "devices of a room could not be looked at"),
      );
    }, LOOK_AFTER_MS);
    this.#look.unref();
  }

  /** Once every device of several people is signed, none that is not gets keys any more. */
  async #adopt(room_id: string): Promise<void> {
    const { devices, account, settings, logger } = this.#options;
    const members = await this.#members(room_id);
    if (members.length > MAX_LOOKED_AT) return;
    const known = await devices.list(members.map(({ userId }) => userId));
    if (!known.some(({ user_id }) => user_id !== account.user_id)) return;
    if (!known.every((device) => device.signed_by_owner) || this.#chosen(room_id) !== undefined) return;
    settings.set(settingOf(room_id), "signed");
    logger.info(
      { room_id },
      "every device in this room is signed: from now on only signed ones get its keys",
    );
  }

  async #members(room_id: string) {
    const room = this.#options.client.getRoom(room_id);
    return room ? Room.prototype.getEncryptionTargetMembers.call(room) : [];
  }

  async #isSigned(): Promise<boolean> {
    const { crypto, account } = this.#options;
    const own = await crypto.getDeviceVerificationStatus(account.user_id, account.device_id);
    return own?.signedByOwner ?? false;
  }
}
