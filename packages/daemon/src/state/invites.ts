import { integer, integerOrNull, text } from "./columns.ts";
import type { Database } from "./database.ts";

export const invitesSchema = `
CREATE TABLE invites (
  invite_id TEXT PRIMARY KEY, room_id TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('member', 'agent')),
  uses INTEGER NOT NULL, used INTEGER NOT NULL, link TEXT NOT NULL, box_secret TEXT NOT NULL,
  created_ts INTEGER NOT NULL, expires_ts INTEGER NOT NULL, revoked_ts INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE redemptions (
  invite_id TEXT NOT NULL, user_id TEXT NOT NULL, key_id TEXT NOT NULL, agent_id TEXT NOT NULL,
  device_id TEXT NOT NULL, reply_key TEXT NOT NULL, redeemed_ts INTEGER NOT NULL, done INTEGER NOT NULL,
  PRIMARY KEY (invite_id, user_id, key_id, agent_id)
) STRICT, WITHOUT ROWID;
`;

export interface Invite {
  invite_id: string;
  room_id: string;
  role: "member" | "agent";
  /** How many may use it, and how many have. */
  uses: number;
  used: number;
  /** The whole text, secret and all. */
  link: string;
  /** The X25519 secret that proofs are sealed to; base64. */
  box_secret: string;
  created_ts: number;
  expires_ts: number;
  revoked_ts: number | null;
}

/** Somebody who proved that he has the link. */
export interface Redemption {
  invite_id: string;
  user_id: string;
  key_id: string;
  agent_id: string;
  /** The device that asked, and the key that its answer is sealed to; base64 without padding. */
  device_id: string;
  reply_key: string;
  redeemed_ts: number;
  /** He is invited. */
  done: boolean;
}

/** Invitations of this daemon, and who used them. Every method joins the caller's transaction. */
export class InviteTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(invite: Omit<Invite, "used" | "revoked_ts">): Invite {
    this.#db.run(
      "INSERT INTO invites VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, NULL)",
      invite.invite_id,
      invite.room_id,
      invite.role,
      invite.uses,
      invite.link,
      invite.box_secret,
      invite.created_ts,
      invite.expires_ts,
    );
    return { ...invite, used: 0, revoked_ts: null };
  }

  get(invite_id: string): Invite | undefined {
    const row = this.#db.get("SELECT * FROM invites WHERE invite_id = ?", invite_id);
    return row && readInvite(row);
  }

  /** Oldest first, of a room or of all. */
  list(room_id: string | null): Invite[] {
    return this.#db
      .all("SELECT * FROM invites WHERE ?1 IS NULL OR room_id = ?1 ORDER BY created_ts, invite_id", room_id)
      .map(readInvite);
  }

  revoke(invite_id: string, now: number): void {
    this.#db.run(
      "UPDATE invites SET revoked_ts = ? WHERE invite_id = ? AND revoked_ts IS NULL",
      now,
      invite_id,
    );
  }

  /** Counts one use, for who has not used it before. */
  redeem(redemption: Omit<Redemption, "done">): void {
    const { changes } = this.#db.run(
      "INSERT OR IGNORE INTO redemptions VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
      redemption.invite_id,
      redemption.user_id,
      redemption.key_id,
      redemption.agent_id,
      redemption.device_id,
      redemption.reply_key,
      redemption.redeemed_ts,
    );
    if (changes > 0)
      this.#db.run("UPDATE invites SET used = used + 1 WHERE invite_id = ?", redemption.invite_id);
  }

  /** The use by that very user, key and name; he may ask again, from another device too. */
  redemption(
    wanted: Pick<Redemption, "invite_id" | "user_id" | "key_id" | "agent_id">,
  ): Redemption | undefined {
    return this.redemptions(wanted.invite_id).find(
      (one) =>
        one.user_id === wanted.user_id && one.key_id === wanted.key_id && one.agent_id === wanted.agent_id,
    );
  }

  /** Who used an invitation; of all invitations, who is not invited yet. */
  redemptions(invite_id: string | null): Redemption[] {
    return this.#db
      .all(
        "SELECT * FROM redemptions WHERE (?1 IS NULL AND done = 0) OR invite_id = ?1 ORDER BY redeemed_ts",
        invite_id,
      )
      .map(readRedemption);
  }

  setDone({ invite_id, user_id, key_id, agent_id }: Redemption): void {
    this.#db.run(
      "UPDATE redemptions SET done = 1 WHERE invite_id = ? AND user_id = ? AND key_id = ? AND agent_id = ?",
      invite_id,
      user_id,
      key_id,
      agent_id,
    );
  }
}

function readInvite(row: Record<string, unknown>): Invite {
  return {
    invite_id: text(row, "invite_id"),
    room_id: text(row, "room_id"),
    role: text(row, "role") === "agent" ? "agent" : "member",
    uses: integer(row, "uses"),
    used: integer(row, "used"),
    link: text(row, "link"),
    box_secret: text(row, "box_secret"),
    created_ts: integer(row, "created_ts"),
    expires_ts: integer(row, "expires_ts"),
    revoked_ts: integerOrNull(row, "revoked_ts"),
  };
}

function readRedemption(row: Record<string, unknown>): Redemption {
  return {
    invite_id: text(row, "invite_id"),
    user_id: text(row, "user_id"),
    key_id: text(row, "key_id"),
    agent_id: text(row, "agent_id"),
    device_id: text(row, "device_id"),
    reply_key: text(row, "reply_key"),
    redeemed_ts: integer(row, "redeemed_ts"),
    done: integer(row, "done") === 1,
  };
}
