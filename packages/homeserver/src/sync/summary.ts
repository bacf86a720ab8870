import type { App } from "../app.ts";
import type { JsonObject } from "../http/json.ts";

const HEROES = 5;

/** The counts of members and, for a room without a name, who could stand for it ("RoomSummary"). */
export function roomSummary(app: App, userId: string, roomId: string): JsonObject {
  const { rooms, events } = app.store;
  const named = ["m.room.name", "m.room.canonical_alias"].some((type) => {
    const content = events.state(roomId, type, "")?.content;
    return typeof content?.name === "string" || typeof content?.alias === "string";
  });
  const present = [
    ...rooms.members(roomId, "join", HEROES + 1),
    ...rooms.members(roomId, "invite", HEROES + 1),
  ];
  const gone = () => [
    ...rooms.members(roomId, "leave", HEROES + 1),
    ...rooms.members(roomId, "ban", HEROES + 1),
  ];
  const others = (users: string[]) => users.filter((member) => member !== userId).slice(0, HEROES);
  const heroes = others(present);
  return {
    ...(named ? {} : { "m.heroes": heroes.length > 0 ? heroes : others(gone()) }),
    "m.joined_member_count": rooms.countMembers(roomId, "join"),
    "m.invited_member_count": rooms.countMembers(roomId, "invite"),
  };
}
