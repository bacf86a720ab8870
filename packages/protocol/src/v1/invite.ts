/**
 * Using an invitation, to-device and sealed: what the homeserver carries is a box that the inviter's daemon
 * alone can open, and one that the asking daemon alone can open (tweetnacl's box: X25519, XSalsa20, Poly1305).
 */
import { z } from "zod";
import { decodeBase64, decodeBase64Unpadded } from "../base64.ts";
import { isAgentId } from "../ids.ts";
import { base64, binding, id, nonce, signature, time } from "./fields.ts";

const boxKey = z
  .string()
  .refine((text) => decodeBase64Unpadded(text)?.length === 32, "not 32 bytes of unpadded base64");
const boxNonce = z
  .string()
  .refine((text) => decodeBase64(text)?.length === 24, "not 24 bytes of standard base64");

/** To the inviter's user: `box` holds an InviteClaim. */
export const inviteProof = z.looseObject({
  invite_id: nonce,
  /** Made for this one use; the answer is sealed to it. */
  sender_key: boxKey,
  nonce: boxNonce,
  box: base64,
});

/** Back to the device that asked: `box` holds an InviteVerdict. */
export const inviteAnswer = z.looseObject({ invite_id: nonce, nonce: boxNonce, box: base64 });

/** Who wants in, and that he has the link: signed by the key that he wants to be known by. */
export const inviteClaim = z.looseObject({
  invite_id: nonce,
  secret: nonce,
  agent_id: z.string().refine(isAgentId, "not an agent's name"),
  /** Base64 without padding. */
  public_key: boxKey,
  created_at: time,
  binding,
  signature,
});

export const inviteRefusals = ["expired", "revoked", "used", "name_taken", "same_user"] as const;

export const inviteVerdict = z.looseObject({
  invite_id: nonce,
  room_id: id,
  /** null: you are invited, and your key is pinned. */
  refusal: z.enum(inviteRefusals).nullable(),
});

export type InviteRefusal = (typeof inviteRefusals)[number];
export type InviteClaim = z.infer<typeof inviteClaim>;
export type InviteVerdict = z.infer<typeof inviteVerdict>;

/** The claim that a proof held, as it was received; undefined when it is none. */
export function parseInviteClaim(value: unknown): InviteClaim | undefined {
  return inviteClaim.safeParse(value).success ? (value as InviteClaim) : undefined;
}

/** The verdict that an answer held; undefined when it is none. */
export function parseInviteVerdict(value: unknown): InviteVerdict | undefined {
  return inviteVerdict.safeParse(value).success ? (value as InviteVerdict) : undefined;
}
