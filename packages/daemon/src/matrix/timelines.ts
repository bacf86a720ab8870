import type { MatrixClient } from "matrix-js-sdk/lib/client.js";

/** Events of one room that the SDK keeps in memory. We need none; it needs a few for verification. */
const TIMELINE_CAP = 50;

/** Keeps the memory for a room's history small: it is in state.db as far as it concerns us. */
export function capTimeline(client: MatrixClient, room_id: string): void {
  const room = client.getRoom(room_id);
  if (room && room.getLiveTimeline().getEvents().length > TIMELINE_CAP) room.resetLiveTimeline();
}
