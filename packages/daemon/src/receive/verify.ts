import { verifyBinding, verifySignature } from "@mx-agent/protocol";
import type { IncomingEvent } from "../matrix/api.ts";

/** Whom a message about a live invocation, or an outstanding ping, has to be from. */
export interface ExpectedSender {
  room_id: string;
  user_id: string;
  key_id: string;
  public_key: Uint8Array;
  /** A key of the first protocol signs no binding. */
  legacy: boolean;
  /** The device that took part so far; null while it is not known. */
  device_id: string | null;
}

/**
 * Whether a message is that party's: sender, room, key, binding, device where one is known, and signature. In an
 * encrypted room a plain to-device message is not (PROTOCOL.md, "To-device events").
 */
export function isFrom(event: IncomingEvent, expected: ExpectedSender, encryptedRoom: boolean): boolean {
  const { content, transport } = event;
  if (typeof content !== "object" || content === null) return false;
  if (event.sender !== expected.user_id) return false;
  if (event.room_id !== null && event.room_id !== expected.room_id) return false;
  if (encryptedRoom && (!transport.encrypted || !transport.authentic)) return false;
  const signed: { signature?: { key_id?: unknown }; binding?: { device_id?: unknown } } = content;
  if (signed.signature?.key_id !== expected.key_id) return false;
  const carrier = {
    room_id: expected.room_id,
    type: event.type,
    sender: event.sender,
    device_id: transport.encrypted ? transport.device_id : null,
  };
  const bound = verifyBinding(content, carrier);
  if (bound === "binding_mismatch" || (bound === "binding_missing" && !expected.legacy)) return false;
  if (event.kind === "to_device" && expected.device_id !== null && bound === "ok")
    if (signed.binding?.device_id !== expected.device_id) return false;
  return verifySignature(content, expected.public_key) === "ok";
}
