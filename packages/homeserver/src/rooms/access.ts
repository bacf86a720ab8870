import type { App } from "../app.ts";
import { forbidden } from "../http/errors.ts";
import { lastStay } from "./stay.ts";

/** Refuses somebody who is not in the room (M_FORBIDDEN, also for a room that does not exist). */
export function requireJoined(app: App, userId: string, roomId: string): void {
  if (app.store.rooms.membership(userId, roomId)?.membership !== "join") {
    throw forbidden(`${userId} is not in the room ${roomId}`);
  }
}

/**
 * Up to which position somebody may look at a room: to its end for members and where the world may read,
 * to the end of their stay for those who left (M_FORBIDDEN for everybody else).
 */
export function viewLimit(app: App, userId: string, roomId: string): number {
  const { events, rooms } = app.store;
  const row = rooms.membership(userId, roomId);
  if (row?.membership === "join") return events.lastPos(roomId);
  const visibility = events.state(roomId, "m.room.history_visibility", "")?.content.history_visibility;
  if (visibility === "world_readable") return events.lastPos(roomId);
  if (row !== undefined && row.forgotten === 0 && (row.membership === "leave" || row.membership === "ban")) {
    const end = lastStay(app, userId, roomId)?.end;
    if (end !== undefined) return end;
  }
  throw forbidden(`${userId} is not in the room ${roomId}`);
}
