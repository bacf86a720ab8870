import { decodePublicKey } from "@mx-agent/protocol";
import { typed } from "../../typed.ts";
import type { RequestKey } from "../admitted.ts";
import { Refusal } from "../refusal.ts";
import type { World } from "../world.ts";

export interface Claimant {
  room_id: string;
  sender: string;
  requesting_agent: string | undefined;
  key_id: string | undefined;
}

/**
 * Step 6: the requesting agent's key, approved here for this agent name, user and room, not revoked, not
 * expired. The public key comes from what the operator approved, never from the room. Our own key needs no
 * approval; what it may run is the policy's to say, as for everybody.
 */
export function key(claimant: Claimant, bound: "bound" | "missing", world: World): RequestKey {
  const { room_id, sender, requesting_agent, key_id } = claimant;
  if (key_id === undefined) throw new Refusal("unsigned", "the request carries no signature");
  if (!world.isJoined(room_id, sender))
    throw new Refusal("untrusted_key", `${sender} is not joined to the room`);
  if (sender === world.self.user_id && key_id === world.self.key_id) {
    if (bound === "missing")
      throw new Refusal("binding_missing", "signed by this daemon's own key, without a binding");
    return { key_id, public_key: world.self.public_key, legacy: false };
  }
  const entry = requesting_agent === undefined ? undefined : world.trusted(room_id, requesting_agent, key_id);
  const advice = `the operator of the executing machine compares fingerprints and runs: mx-agent trust approve --room ${typed(room_id, "ROOM")} ${typed(requesting_agent, "AGENT")}`;
  if (!entry || entry.user_id !== sender)
    throw new Refusal(
      "untrusted_key",
      `${key_id} is not approved for agent ${requesting_agent ?? "(none)"} of ${sender} in this room`,
      advice,
    );
  if (entry.status === "revoked") throw new Refusal("revoked_key", `revoked at ${entry.revoked_at ?? "?"}`);
  if (entry.status === "expired")
    throw new Refusal("untrusted_key", `the approval expired at ${entry.expires_at ?? "?"}`, advice);
  if (bound === "missing" && !entry.legacy)
    throw new Refusal("binding_missing", "no binding, and the key was not approved with --legacy");
  const public_key = decodePublicKey(entry.public_key);
  if (!public_key) throw new Refusal("untrusted_key", "the stored public key cannot be read", advice);
  return { key_id, public_key, legacy: entry.legacy };
}
