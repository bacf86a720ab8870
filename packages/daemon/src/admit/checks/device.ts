import { requirements } from "@mx-agent/policy";
import type { IncomingEvent } from "../../matrix/api.ts";
import { Refusal } from "../refusal.ts";
import type { World } from "../world.ts";

/**
 * Step 9: in an encrypted room the request came encrypted, from a device that the sender owns; where the
 * policy demands it the device is verified, which a plain room can never show.
 */
export function device(event: IncomingEvent, room_id: string, world: World): void {
  const { transport } = event;
  if (world.isEncrypted(room_id)) {
    if (!transport.encrypted) throw new Refusal("unverified_device", "a plain request in an encrypted room");
    if (!transport.authentic || transport.device_id === null)
      throw new Refusal("unverified_device", "the sending device could not be authenticated");
  }
  if (!requirements(world.policy, room_id, event.sender).require_verified_device) return;
  if (!transport.encrypted || !transport.verified)
    throw new Refusal(
      "unverified_device",
      "the policy demands a verified device",
      "verify the sending device with the executing side's operator",
    );
}
