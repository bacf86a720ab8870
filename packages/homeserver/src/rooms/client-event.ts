import type { App } from "../app.ts";
import type { JsonObject } from "../http/json.ts";
import type { StoredEvent } from "./event.ts";

/** Who will read an event: transaction ids are for the device that used them. */
export interface Viewer {
  readonly userId: string;
  readonly deviceId: string;
}

/** The event as clients get it from /sync, where the room is known ("ClientEventWithoutRoomID"). */
export function syncEvent(app: App, event: StoredEvent, viewer: Viewer): JsonObject {
  const unsigned: JsonObject = { age: Math.max(0, app.now() - event.ts) };
  if (event.replacesState !== null) {
    unsigned.replaces_state = event.replacesState;
    const replaced = app.store.events.byId(event.replacesState);
    if (replaced !== undefined) {
      unsigned.prev_content = replaced.content;
      unsigned.prev_sender = replaced.sender;
    }
  }
  if (event.redactedBy !== null) {
    const redaction = app.store.events.byId(event.redactedBy);
    if (redaction !== undefined) unsigned.redacted_because = clientEvent(app, redaction, viewer);
  }
  if (event.txnId !== null && event.sender === viewer.userId && event.deviceId === viewer.deviceId) {
    unsigned.transaction_id = event.txnId;
  }
  return {
    type: event.type,
    ...(event.stateKey === null ? {} : { state_key: event.stateKey }),
    sender: event.sender,
    content: event.content,
    event_id: event.eventId,
    origin_server_ts: event.ts,
    // Older clients look for the target outside of the content, where room version 11 put it.
    ...(event.redacts === null ? {} : { redacts: event.redacts }),
    unsigned,
  };
}

/** The event with its room id, as all other endpoints answer ("ClientEvent"). */
export function clientEvent(app: App, event: StoredEvent, viewer: Viewer): JsonObject {
  return { ...syncEvent(app, event, viewer), room_id: event.roomId };
}

/** What somebody outside of the room may know about it ("Stripped state"). */
export function strippedEvent(event: StoredEvent): JsonObject {
  return { type: event.type, state_key: event.stateKey, sender: event.sender, content: event.content };
}
