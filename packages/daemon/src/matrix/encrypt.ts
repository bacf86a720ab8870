import { mxError } from "@mx-agent/base";
import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { MatrixEvent } from "matrix-js-sdk/lib/models/event.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { RoomTable } from "../state/rooms.ts";
import type { Outgoing } from "./api.ts";
import type { GuardedFetchOptions } from "./guarded-fetch.ts";
import type { Recipients } from "./keys/recipients.ts";
import type { OutboxLink, Prepared } from "./outbox.ts";
import type { OwnEvents } from "./own-events.ts";
import { canEncrypt } from "./room-encryption.ts";
import { type Clock, isRecord } from "./types.ts";

export interface EncryptorOptions {
  client: MatrixClient;
  crypto: RustCrypto;
  user_id: string;
  rooms: RoomTable;
  /** Encrypts it for those who are to read the room. */
  recipients: Pick<Recipients, "encrypt">;
  /** Resolves when what the encryption remembers is on disk: the outbox keeps what comes out of it. */
  durable: () => Promise<void>;
  clock: Clock;
  /** Remembers what is encrypted for a room. */
  own: OwnEvents;
}

/** How long a device that was there counts as being there, milliseconds. */
const DEVICE_KNOWN_MS = 300_000;

/** Encrypts what the outbox sends into rooms that are remembered as encrypted, and to devices for them. */
export function encryptor(options: EncryptorOptions): OutboxLink["encrypt"] {
  const seen = new Map<string, number>();
  const toDevices = new Set<Promise<Prepared>>();
  return async (outgoing) => {
    if (outgoing.kind === "state" || outgoing.type === "m.reaction") return null;
    const encrypted = options.rooms.isEncrypted(outgoing.room_id);
    if (outgoing.kind === "to_device") await deviceThere(outgoing, options, seen);
    if (!encrypted) return null;
    if (outgoing.kind === "to_device") {
      const preparing = encryptToDevice(outgoing, options.crypto);
      toDevices.add(preparing);
      await preparing.finally(() => toDevices.delete(preparing));
      await options.durable();
      return preparing;
    }
    // Somebody waits for what goes to his device; that the room has it as well is less urgent.
    await Promise.allSettled(toDevices);
    const prepared = await encryptEvent(outgoing, options);
    await options.durable();
    return prepared;
  };
}

/**
 * Encrypts a step of a verification. It goes to every device in the room, also where only signed ones get keys:
 * encryption must not hinder what makes a device a verified one (Client-Server API, "Key verification framework").
 */
export function sealer(options: EncryptorOptions): GuardedFetchOptions["seal"] {
  return (room_id, type, content) => encryptEvent({ room_id, type, content }, options, "everybody");
}

async function encryptEvent(
  { room_id, type, content }: { room_id: string; type: string; content: object },
  { client, crypto, user_id, rooms, recipients, own }: EncryptorOptions,
  to: "readers" | "everybody" = "readers",
): Promise<Prepared> {
  const room = client.getRoom(room_id);
  if (!room) throw new Error(`the SDK does not know ${room_id} yet`);
  // A server that hides or changes the encryption event after we have seen it does not get plain text by that.
  await canEncrypt(crypto, room, rooms.encryption(room_id));
  const event = new MatrixEvent({ type, content: { ...content }, room_id, sender: user_id });
  await recipients.encrypt(event, room, to);
  const wire = event.getWireType();
  if (wire !== "m.room.encrypted") {
    throw mxError("MX_INTERNAL", { detail: `an event for ${room_id} came out of encryption as ${wire}` });
  }
  own.remember(event.getWireContent(), { room_id, type, content: JSON.stringify(content) });
  return { type: wire, content: event.getWireContent() };
}

/** An empty batch is what the SDK gives for a device that it does not know. */
async function encryptToDevice(
  outgoing: Extract<Outgoing, { kind: "to_device" }>,
  crypto: RustCrypto,
): Promise<Prepared> {
  const { user_id, device_id, type, content } = outgoing;
  const { batch } = await crypto.encryptToDeviceMessages(type, [{ userId: user_id, deviceId: device_id }], {
    ...content,
  });
  const payload = batch[0]?.payload;
  if (!isRecord(payload)) throw unknownDevice(user_id, device_id);
  return { type: "m.room.encrypted", content: payload };
}

/** A server takes a message to a device that is not there, and says nothing. */
async function deviceThere(
  { user_id, device_id }: Extract<Outgoing, { kind: "to_device" }>,
  { crypto, clock }: EncryptorOptions,
  seen: Map<string, number>,
): Promise<void> {
  const key = `${user_id} ${device_id}`;
  if (clock() - (seen.get(key) ?? 0) < DEVICE_KNOWN_MS) return;
  const devices = await crypto.getUserDeviceInfo([user_id], true);
  if (!devices.get(user_id)?.has(device_id)) throw unknownDevice(user_id, device_id);
  seen.set(key, clock());
}

function unknownDevice(user_id: string, device_id: string) {
  const hint = "it logged out, or never was; ask the agent's owner";
  return mxError("MX_NOT_FOUND", { what: `device of ${user_id}`, name: device_id, hint });
}
