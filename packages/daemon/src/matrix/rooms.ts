import { mxError } from "@mx-agent/base";
import type { Database } from "../state/database.ts";
import { type RoomRow, RoomTable } from "../state/rooms.ts";
import type { RoomInfo, RoomMember, Rooms, StateEvent } from "./api.ts";
import { isRecord } from "./types.ts";

export interface RoomDirectoryOptions {
  table: RoomTable;
  /** Asks the homeserver which room an alias means; undefined when there is none. */
  lookUpAlias: (alias: string) => Promise<string | undefined>;
}

const MEMBERSHIPS = ["join", "invite", "leave", "ban", "knock"] as const;

/** The rooms of this account, as the last committed sync left them. */
export class RoomDirectory implements Rooms {
  readonly #options: RoomDirectoryOptions;

  constructor(options: RoomDirectoryOptions) {
    this.#options = options;
  }

  list(): RoomInfo[] {
    return this.#options.table.list().map((room) => this.#info(room));
  }

  get(room_id: string): RoomInfo | undefined {
    const room = this.#options.table.get(room_id);
    return room && this.#info(room);
  }

  async resolve(name: string): Promise<RoomInfo> {
    const known = this.get(name);
    if (known) return known;
    const rooms = this.list();
    if (name.startsWith("#")) {
      const found = rooms.find((room) => room.alias === name && room.membership === "join");
      if (found) return found;
      const room_id = await this.#options.lookUpAlias(name);
      const room = room_id === undefined ? undefined : this.get(room_id);
      if (room) return room;
    } else {
      const found = rooms.filter((room) => room.name === name && room.membership !== "leave");
      if (found.length > 1) {
        const hint = `${found.length} rooms have that name; give one of ${found.map((room) => room.room_id).join(", ")}`;
        throw mxError("MX_NOT_FOUND", { what: "unambiguous room", name, hint });
      }
      if (found[0]) return found[0];
    }
    throw mxError("MX_NOT_FOUND", {
      what: "room",
      name,
      hint: "`mx-agent workspace list` shows the rooms of this account",
    });
  }

  async members(room_id: string): Promise<RoomMember[]> {
    const powers = this.#powers(room_id);
    return this.#options.table.state(room_id, "m.room.member").map(({ state_key, content }) => {
      const { membership, displayname } = isRecord(content) ? content : {};
      return {
        user_id: state_key,
        membership: MEMBERSHIPS.find((known) => known === membership) ?? "leave",
        display_name: typeof displayname === "string" ? displayname : null,
        power_level: powers(state_key),
      };
    });
  }

  isJoined(room_id: string, user_id: string): boolean {
    if (this.#options.table.get(room_id)?.membership !== "join") return false;
    const content = this.#options.table.stateEvent(room_id, "m.room.member", user_id)?.content;
    return isRecord(content) && content.membership === "join";
  }

  state(room_id: string, type: string): StateEvent[] {
    return this.#options.table.state(room_id, type);
  }

  stateEvent(room_id: string, type: string, state_key: string): StateEvent | undefined {
    return this.#options.table.stateEvent(room_id, type, state_key);
  }

  #info({ room_id, membership, inviter }: RoomRow): RoomInfo {
    const { table } = this.#options;
    return {
      room_id,
      name: textOf(table.stateEvent(room_id, "m.room.name", "")?.content, "name"),
      alias: textOf(table.stateEvent(room_id, "m.room.canonical_alias", "")?.content, "alias"),
      membership,
      encrypted: table.isEncrypted(room_id),
      inviter,
    };
  }

  /** Power levels of a room (Client-Server API, m.room.power_levels); creators from room version 12 on stand above. */
  #powers(room_id: string): (user_id: string) => number {
    const create = this.#options.table.stateEvent(room_id, "m.room.create", "");
    const creation = isRecord(create?.content) ? create.content : {};
    const creators = new Set<unknown>();
    if (Number(creation.room_version) >= 12) {
      creators.add(create?.sender);
      if (Array.isArray(creation.additional_creators))
        for (const user of creation.additional_creators) creators.add(user);
    }
    const content = this.#options.table.stateEvent(room_id, "m.room.power_levels", "")?.content;
    const levels = isRecord(content) ? content : undefined;
    const users = isRecord(levels?.users) ? levels.users : {};
    return (user_id) => {
      if (creators.has(user_id)) return Number.MAX_SAFE_INTEGER;
      if (!levels) return user_id === create?.sender ? 100 : 0;
      return levelOf(Object.hasOwn(users, user_id) ? users[user_id] : levels.users_default);
    };
  }
}

/** The rooms as the last session left them; nobody is asked for an alias. */
export function lastRooms(db: Database): Rooms {
  return new RoomDirectory({ table: new RoomTable(db), lookUpAlias: async () => undefined });
}

/** Levels that are strings occur in old rooms. */
function levelOf(value: unknown): number {
  const level = typeof value === "string" ? Number.parseInt(value, 10) : value;
  return typeof level === "number" && Number.isSafeInteger(level) ? level : 0;
}

function textOf(content: unknown, key: string): string | null {
  const value = isRecord(content) ? content[key] : undefined;
  return typeof value === "string" && value !== "" ? value : null;
}
