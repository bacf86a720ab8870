import { randomBytes, timingSafeEqual } from "node:crypto";
import { type MxError, mxError } from "@mx-agent/base";
import {
  decodePublicKey,
  EventTypes,
  encodePublicKey,
  formatTime,
  type InviteClaim,
  type InviteRefusal,
  type InviteRole,
  keyIdOf,
  newNonce,
  OPERATOR_POWER_LEVEL,
  parseContent,
  parseInviteClaim,
  readInviteLink,
  verifyBinding,
  verifySignature,
  writeInviteLink,
} from "@mx-agent/protocol";
import type { Logger } from "pino";
import { agentState } from "../agents/registry.ts";
import type { Auditor } from "../audit-entries.ts";
import type { Identity } from "../identity.ts";
import type { IncomingEvent, MatrixSession } from "../matrix/api.ts";
import type { Invite, Redemption } from "../state/invites.ts";
import type { Tables } from "../state/tables.ts";
import { Admissions, type Reply } from "./admissions.ts";
import { boxKeyOf, newBoxKey, unseal } from "./seal.ts";

export interface InviteParts {
  tables: Pick<Tables, "db" | "invites" | "trust" | "ownAgents">;
  identity: Identity;
  session: MatrixSession;
  audit: Auditor;
  logger: Logger;
  now(): number;
}

export interface NewInvite {
  room: string;
  role: InviteRole;
  uses: number;
  expires_ms: number;
  /** What the guest is to reach; null: what this daemon uses. */
  homeserver: string | null;
  registration_token: string | null;
}

/** The inviter's side: makes links, counts their uses, pins the keys of those who prove that they have one. */
export class Invites {
  readonly #parts: InviteParts;
  readonly #admissions: Admissions;

  constructor(parts: InviteParts) {
    this.#parts = parts;
    this.#admissions = new Admissions(parts);
  }

  /** Goes on with those who were counted and not invited yet. */
  resume(): void {
    this.#admissions.resume();
  }

  close(): Promise<void> {
    return this.#admissions.close();
  }

  async create(wanted: NewInvite): Promise<Invite> {
    const { tables, identity, session, audit, now } = this.#parts;
    const room = await session.rooms.resolve(wanted.room);
    const { room_id } = room;
    const { user_id, homeserver } = identity.account;
    const agent = tables.ownAgents.list(room_id)[0];
    if (!agent)
      throw mxError("MX_NOT_FOUND", {
        what: "agent of this machine in the room",
        name: room.name ?? room_id,
        hint: `register one, which the guest can trust: mx-agent agent register --room '${room_id}'`,
      });
    await this.#requirePower(room_id, wanted.role);
    const box = newBoxKey();
    // On a command line one that began with "-" would be an option.
    const invite_id = newNonce().replace(/^-/, "_");
    const expires_ts = now() + wanted.expires_ms;
    const link = writeInviteLink(
      {
        invite_id,
        secret: randomBytes(16).toString("base64url"),
        homeserver: wanted.homeserver ?? homeserver,
        room_id,
        room_name: room.name ?? "",
        encrypted: room.encrypted,
        via: [user_id.slice(user_id.indexOf(":") + 1)],
        user_id,
        agent_id: agent.agent_id,
        public_key: encodePublicKey(identity.key.publicKey),
        box_key: box.public_key,
        role: wanted.role,
        expires_at: formatTime(expires_ts),
        registration_token: wanted.registration_token,
      },
      identity.key,
    );
    audit.invite("created", { invite_id, room_id });
    return tables.db.transaction(() =>
      tables.invites.add({
        invite_id,
        room_id,
        role: wanted.role,
        uses: wanted.uses,
        link,
        box_secret: Buffer.from(box.secret).toString("base64"),
        created_ts: now(),
        expires_ts,
      }),
    );
  }

  revoke(invite_id: string): Invite {
    const { tables, audit, now } = this.#parts;
    const { room_id } = this.find(invite_id);
    audit.invite("revoked", { invite_id, room_id });
    tables.invites.revoke(invite_id, now());
    return this.find(invite_id);
  }

  find(invite_id: string): Invite {
    const found = this.#parts.tables.invites.get(invite_id);
    if (found) return found;
    throw mxError("MX_NOT_FOUND", {
      what: "invitation",
      name: invite_id,
      hint: "`mx-agent invite list` shows them",
    });
  }

  /** A proof that somebody has a link. What is no proof is dropped without an answer. */
  onProof(event: IncomingEvent): void {
    const parsed = parseContent(EventTypes.inviteProof, event.content);
    if (event.kind !== "to_device" || !parsed.ok) return;
    const invite = this.#parts.tables.invites.get(parsed.value.invite_id);
    if (!invite) return;
    const { sender_key } = parsed.value;
    const claim = unsealed(invite, event.sender, parsed.value);
    if (!claim) {
      this.#parts.logger.warn(
        { sender: event.sender, invite_id: invite.invite_id },
        "a proof for an invitation does not hold",
      );
      return;
    }
    const reply: Reply = {
      user_id: event.sender,
      device_id: claim.binding.device_id,
      reply_key: sender_key,
    };
    const counted = this.#parts.tables.db.transaction(() => this.#count(invite, claim, reply));
    if ("refusal" in counted) this.#admissions.refuse(invite, reply, counted.refusal);
    else this.#admissions.admit(counted, reply);
  }

  /** Counts the use and pins the key, both or neither; whoever was counted before is not counted again. */
  #count(invite: Invite, claim: InviteClaim, reply: Reply): Redemption | { refusal: InviteRefusal } {
    const { tables, audit, identity, now } = this.#parts;
    const { invite_id, room_id, role } = invite;
    const { agent_id } = claim;
    const publicKey = decodePublicKey(claim.public_key) ?? new Uint8Array();
    const wanted = { invite_id, user_id: reply.user_id, key_id: keyIdOf(publicKey), agent_id };
    if (invite.revoked_ts !== null) return { refusal: "revoked" };
    const before = tables.invites.redemption(wanted);
    if (before) return this.#mayComeAgain(invite, before) ?? before;
    if (invite.expires_ts <= now()) return { refusal: "expired" };
    if (invite.used >= invite.uses) return { refusal: "used" };
    if (reply.user_id === identity.account.user_id) return { refusal: "same_user" };
    if (role === "agent" && this.#isTaken(room_id, wanted)) return { refusal: "name_taken" };
    const fingerprint = wanted.key_id.replace(/^[^:]+/, "SHA256");
    const entry = { room_id, agent_id, user_id: reply.user_id, fingerprint };
    audit.invite("used", { invite_id, ...entry });
    if (role === "agent") {
      audit.trust("approved", entry);
      tables.trust.approve({
        ...entry,
        key_id: wanted.key_id,
        public_key: claim.public_key,
        legacy: false,
        approved_at: new Date(now()).toISOString(),
        expires_at: null,
      });
    }
    const redemption = { ...wanted, ...reply, redeemed_ts: now() };
    tables.invites.redeem(redemption);
    return { ...redemption, done: false };
  }

  /**
   * Who was counted is let in again, whose answer got lost or who has left, but not against what was decided since: his
   * key was revoked, or somebody put him out of the room. Answers why not.
   */
  #mayComeAgain(invite: Invite, before: Redemption): { refusal: InviteRefusal } | undefined {
    const { tables, session, now } = this.#parts;
    const { user_id, key_id, agent_id } = before;
    const { room_id } = invite;
    if (invite.role === "agent" && tables.trust.find(room_id, agent_id, key_id)?.status !== "trusted")
      return { refusal: "revoked" };
    if (!before.done) return undefined;
    const member = session.rooms.stateEvent(room_id, "m.room.member", user_id);
    const { membership }: { membership?: unknown } = Object(member?.content);
    if (membership === "join" || membership === "invite") return undefined;
    if (member && member.sender !== user_id) return { refusal: "revoked" };
    return invite.expires_ts <= now() ? { refusal: "expired" } : undefined;
  }

  /** A name stands for one key: neither ours, nor another's that is approved, nor another user's in the room. */
  #isTaken(room_id: string, wanted: { user_id: string; key_id: string; agent_id: string }): boolean {
    const { tables, session } = this.#parts;
    const { user_id, key_id, agent_id } = wanted;
    const approved = tables.trust.current(room_id, agent_id);
    const shown = agentState(session.rooms, room_id, agent_id);
    return (
      tables.ownAgents.find(room_id, agent_id) !== undefined ||
      (approved !== undefined && (approved.user_id !== user_id || approved.key_id !== key_id)) ||
      (shown !== undefined && shown.status !== "offline" && shown.matrix_user_id !== user_id)
    );
  }

  /** Who cannot invite, or not give a guest the power to register an agent, learns it now and not from the guest. */
  async #requirePower(room_id: string, role: InviteRole): Promise<void> {
    const { session, identity } = this.#parts;
    const { user_id } = identity.account;
    const me = (await session.rooms.members(room_id)).find((member) => member.user_id === user_id);
    const content = session.rooms.stateEvent(room_id, "m.room.power_levels", "")?.content;
    const levels: { invite?: unknown } = typeof content === "object" && content !== null ? content : {};
    const invite = typeof levels.invite === "number" ? levels.invite : 0;
    const needed = role === "agent" ? Math.max(invite, OPERATOR_POWER_LEVEL) : invite;
    if ((me?.power_level ?? 0) < needed) throw tooWeak(user_id, room_id, me?.power_level ?? 0, needed);
  }
}

function tooWeak(user_id: string, room_id: string, power: number, needed: number): MxError {
  return mxError(
    "MX_HOMESERVER_ERROR",
    { errcode: "M_FORBIDDEN", detail: `${user_id} has power ${power} in the room, inviting needs ${needed}` },
    {
      hint: `whoever made the room invites, or types: mx-agent workspace grant --room '${room_id}' --level ${needed} ${user_id}`,
    },
  );
}

/** The claim in a proof, when all of it holds: the secret, the key's own signature, and the user who sent it. */
function unsealed(
  invite: Invite,
  sender: string,
  proof: { sender_key: string; nonce: string; box: string },
): InviteClaim | undefined {
  const key = boxKeyOf(Buffer.from(invite.box_secret, "base64"));
  const claim = parseInviteClaim(unseal(proof, proof.sender_key, key));
  const read = readInviteLink(invite.link);
  if (!claim || !read.ok || claim.invite_id !== invite.invite_id) return undefined;
  const [given, known] = [Buffer.from(claim.secret), Buffer.from(read.link.secret)];
  if (given.length !== known.length || !timingSafeEqual(given, known)) return undefined;
  const carrier = { room_id: invite.room_id, type: EventTypes.inviteProof, sender, device_id: null };
  const publicKey = decodePublicKey(claim.public_key);
  if (!publicKey || verifyBinding(claim, carrier) !== "ok") return undefined;
  return verifySignature(claim, publicKey) === "ok" ? claim : undefined;
}
