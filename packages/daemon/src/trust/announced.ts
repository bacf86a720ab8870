import { decodePublicKey, encodePublicKey, fingerprintOf, verifyRotation } from "@mx-agent/protocol";
import { shownState } from "../agents/signed-state.ts";
import type { Rooms } from "../matrix/api.ts";
import type { TrustTable } from "../state/trust.ts";

/** A key that an approved one announced as its successor. Approving it is the operator's. */
export interface AnnouncedKey {
  key_id: string;
  /** Base64 without padding. */
  public_key: string;
  fingerprint: string;
  user_id: string;
  /** The approved key that announced it, and until when that is approved. */
  from_key_id: string;
  expires_at: string | null;
  approved: boolean;
  /** Its agent signs with it already, and no longer with the one before. */
  in_use: boolean;
}

/** What an agent's state announces, where the key that is approved here signed it; the room cannot make one up. */
export function announcedKey(
  room_id: string,
  agent_id: string,
  { rooms, trust }: { rooms: Rooms; trust: TrustTable },
): AnnouncedKey | undefined {
  const shown = shownState(rooms, room_id, agent_id);
  const rotation = shown?.state.rotation;
  if (!shown || !rotation) return undefined;
  const from = trust.find(room_id, agent_id, rotation.from_key_id);
  const approved = trust.find(room_id, agent_id, rotation.key_id)?.status === "trusted";
  const known = from?.status === "trusted" ? decodePublicKey(from.public_key) : undefined;
  if (!from || !known || shown.sender !== from.user_id) return undefined;
  const next = verifyRotation(rotation, from.user_id, known);
  if (!next) return undefined;
  return {
    key_id: rotation.key_id,
    public_key: encodePublicKey(next),
    fingerprint: fingerprintOf(next),
    user_id: from.user_id,
    from_key_id: from.key_id,
    expires_at: from.expires_at,
    approved,
    in_use: shown.vouched && shown.state.signing_key_id === rotation.key_id,
  };
}
