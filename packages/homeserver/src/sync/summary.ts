import type { App } from "../app.ts";
import type { JsonObject } from "../http/json.ts";
import type { Membership } from "../store/rooms.ts";

const HEROES = 5;

/** The counts of members and, for a room without a name, who could stand for it ("RoomSummary"). */
export function roomSummary(app: App, userId: string, roomId: string): JsonObject {
  const { rooms, events } = app.store;
  const named = ["m.room.name", "m.room.canonical_alias"].some((type) => {
    const content = events.state(roomId, type, "")?.content;
    return typeof content?.name === "string" || typeof content?.alias === "string";
  });
  const heroes = roomHeroes(app, userId, roomId);
  return {
    ...(named ? {} : { "m.heroes": heroes }),
    "m.joined_member_count": rooms.countMembers(roomId, "join"),
    "m.invited_member_count": rooms.countMembers(roomId, "invite"),
  };
}

/** Those after whom a client could name the room: up to five others who are in it, or else who were. */
export function roomHeroes(app: App, userId: string, roomId: string): string[] {
  const { rooms } = app.store;
  const members = (...memberships: Membership[]) =>
    memberships
      .flatMap((membership) => rooms.members(roomId, membership, HEROES + 1))
      .filter((member) => member !== userId)
      .slice(0, HEROES);
  const present = members("join", "invite");
  return present.length > 0 ? present : members("leave", "ban");
}
