import type { Database } from "./database.ts";

export type Membership = "join" | "invite" | "knock" | "leave" | "ban";

export interface RoomRow {
  room_id: string;
  creator: string;
  version: string;
  published: number;
}

export interface MembershipRow {
  user_id: string;
  room_id: string;
  membership: Membership;
  pos: number;
  forgotten: number;
}

const MEMBERS_CACHE = 500;

/** Rooms, who is in them, their aliases. */
export class RoomStore {
  readonly #db: Database;
  /** Joined users by room, for those rooms that were busy last. */
  readonly #joined = new Map<string, Set<string>>();

  constructor(db: Database) {
    this.#db = db;
    db.onReset(() => this.#joined.clear());
  }

  create(roomId: string, creator: string, version: string): void {
    this.#db.run("INSERT INTO rooms (room_id, creator, version) VALUES (?, ?, ?)", roomId, creator, version);
  }

  room(roomId: string): RoomRow | undefined {
    return this.#db.get<RoomRow>("SELECT * FROM rooms WHERE room_id = ?", roomId);
  }

  setPublished(roomId: string, published: boolean): void {
    this.#db.run("UPDATE rooms SET published = ? WHERE room_id = ?", published ? 1 : 0, roomId);
  }

  publishedRooms(): { roomId: string; joined: number }[] {
    return this.#db
      .all<{ room_id: string; n: number }>(
        `SELECT r.room_id, (SELECT COUNT(*) FROM memberships m WHERE m.room_id = r.room_id AND m.membership = 'join') AS n
         FROM rooms r WHERE r.published = 1 ORDER BY n DESC, r.room_id`,
      )
      .map((row) => ({ roomId: row.room_id, joined: row.n }));
  }

  setMembership(userId: string, roomId: string, membership: Membership, pos: number): void {
    this.#db.run(
      `INSERT INTO memberships (user_id, room_id, membership, pos) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET membership = excluded.membership, pos = excluded.pos, forgotten = 0`,
      userId,
      roomId,
      membership,
      pos,
    );
    this.#db.afterRollback(() => this.#joined.delete(roomId));
    const joined = this.#joined.get(roomId);
    if (membership === "join") joined?.add(userId);
    else joined?.delete(userId);
  }

  forget(userId: string, roomId: string): void {
    this.#db.run("UPDATE memberships SET forgotten = 1 WHERE user_id = ? AND room_id = ?", userId, roomId);
  }

  membership(userId: string, roomId: string): MembershipRow | undefined {
    return this.#db.get<MembershipRow>(
      "SELECT * FROM memberships WHERE user_id = ? AND room_id = ?",
      userId,
      roomId,
    );
  }

  /** Every room that the user has or had to do with, forgotten ones left out. */
  memberships(userId: string): MembershipRow[] {
    return this.#db.all<MembershipRow>(
      "SELECT * FROM memberships WHERE user_id = ? AND forgotten = 0",
      userId,
    );
  }

  joinedRooms(userId: string): string[] {
    return this.#db
      .all<{ room_id: string }>(
        "SELECT room_id FROM memberships WHERE user_id = ? AND membership = 'join' ORDER BY pos",
        userId,
      )
      .map((row) => row.room_id);
  }

  /** The users joined to a room; a live set, not to be changed by the caller. */
  joined(roomId: string): ReadonlySet<string> {
    let joined = this.#joined.get(roomId);
    if (joined === undefined) joined = new Set(this.members(roomId, "join"));
    else this.#joined.delete(roomId);
    this.#joined.set(roomId, joined);
    if (this.#joined.size > MEMBERS_CACHE) {
      const [oldest] = this.#joined.keys();
      if (oldest !== undefined) this.#joined.delete(oldest);
    }
    return joined;
  }

  /** Users of one membership, in the order in which they came to it. */
  members(roomId: string, membership: Membership, limit = -1): string[] {
    return this.#db
      .all<{ user_id: string }>(
        "SELECT user_id FROM memberships WHERE room_id = ? AND membership = ? ORDER BY pos LIMIT ?",
        roomId,
        membership,
        limit,
      )
      .map((row) => row.user_id);
  }

  countMembers(roomId: string, membership: Membership): number {
    return (
      this.#db.get<{ n: number }>(
        "SELECT COUNT(*) AS n FROM memberships WHERE room_id = ? AND membership = ?",
        roomId,
        membership,
      )?.n ?? 0
    );
  }

  shareRoom(one: string, other: string): boolean {
    return (
      this.#db.get(
        `SELECT 1 FROM memberships a JOIN memberships b ON b.user_id = ?2 AND b.room_id = a.room_id AND b.membership = 'join'
         WHERE a.user_id = ?1 AND a.membership = 'join' LIMIT 1`,
        one,
        other,
      ) !== undefined
    );
  }

  /** Everyone who is joined to a room that the user is joined to, the user included. */
  neighbours(userId: string): string[] {
    return this.#db
      .all<{ user_id: string }>(
        `SELECT DISTINCT b.user_id FROM memberships a JOIN memberships b ON b.room_id = a.room_id AND b.membership = 'join'
         WHERE a.user_id = ? AND a.membership = 'join'`,
        userId,
      )
      .map((row) => row.user_id);
  }

  alias(alias: string): { room_id: string; creator: string } | undefined {
    return this.#db.get("SELECT room_id, creator FROM aliases WHERE alias = ?", alias);
  }

  addAlias(alias: string, roomId: string, creator: string): void {
    this.#db.run("INSERT INTO aliases VALUES (?, ?, ?)", alias, roomId, creator);
  }

  deleteAlias(alias: string): void {
    this.#db.run("DELETE FROM aliases WHERE alias = ?", alias);
  }

  aliases(roomId: string): string[] {
    return this.#db
      .all<{ alias: string }>("SELECT alias FROM aliases WHERE room_id = ? ORDER BY alias", roomId)
      .map((row) => row.alias);
  }
}
