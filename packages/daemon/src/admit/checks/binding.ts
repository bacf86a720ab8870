import { verifyBinding } from "@mx-agent/protocol";
import type { IncomingEvent } from "../../matrix/api.ts";
import { Refusal } from "../refusal.ts";

/**
 * Step 5: room, type, sender and, where the transport vouches for it, device are those that were signed.
 * Content without a binding passes only for a key that was trusted with `--legacy`, which step 6 settles.
 */
export function binding(event: IncomingEvent, content: object, room_id: string): "bound" | "missing" {
  const device_id = event.transport.encrypted ? event.transport.device_id : null;
  const outcome = verifyBinding(content, { room_id, type: event.type, sender: event.sender, device_id });
  if (outcome === "binding_mismatch")
    throw new Refusal(
      "binding_mismatch",
      "signed for another room, type, sender or device than those it came with",
    );
  return outcome === "ok" ? "bound" : "missing";
}
