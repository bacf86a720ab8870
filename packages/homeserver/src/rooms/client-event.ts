import type { App } from "../app.ts";
import type { JsonObject } from "../http/json.ts";
import { bundledRelations } from "./bundle.ts";
import type { StoredEvent } from "./event.ts";
import type { RoomView } from "./visibility.ts";

/** Who will read an event: transaction ids are for the device that used them. */
export interface Viewer {
  readonly userId: string;
  readonly deviceId: string;
}

/** The event as clients get it from /sync, where the room is known ("ClientEventWithoutRoomID"). */
export function syncEvent(app: App, event: StoredEvent, viewer: Viewer, view: RoomView): JsonObject {
  const unsigned: JsonObject = unsignedOf(app, event, viewer, view);
  if (event.redactedBy === null) {
    const relations = bundledRelations(app, event, viewer, view);
    if (relations !== undefined) unsigned["m.relations"] = relations;
  }
  return { ...bare(event), unsigned };
}

/** The event with its room id, as all other endpoints answer ("ClientEvent"). */
export function clientEvent(app: App, event: StoredEvent, viewer: Viewer, view: RoomView): JsonObject {
  return { ...syncEvent(app, event, viewer, view), room_id: event.roomId };
}

/**
 * An event within another one: without what relates to it in turn, and without what redacted it. Chains of
 * relations can be of any length, and nobody should have to follow one.
 */
export function innerEvent(app: App, event: StoredEvent, viewer: Viewer, view: RoomView): JsonObject {
  const { membership: _membership, ...unsigned } = unsignedOf(
    app,
    { ...event, redactedBy: null },
    viewer,
    view,
  );
  return { ...bare(event), unsigned, room_id: event.roomId };
}

/**
 * A state event of /sync that is in no timeline. What it replaced is told where the client has been shown the event
 * before, and so knows that.
 */
export function syncStateEvent(app: App, event: StoredEvent, shown: boolean): JsonObject {
  const unsigned = { age: ageOf(app, event), ...(shown ? replacedBy(app, event) : replacesState(event)) };
  return { ...bare(event), unsigned };
}

/** A state event with its room id, without what came before it. */
export function stateEvent(app: App, event: StoredEvent): JsonObject {
  return { ...syncStateEvent(app, event, false), room_id: event.roomId };
}

/** What somebody outside of the room may know about it ("Stripped state"). */
export function strippedEvent(event: StoredEvent): JsonObject {
  return { type: event.type, state_key: event.stateKey, sender: event.sender, content: event.content };
}

function bare(event: StoredEvent): JsonObject {
  return {
    type: event.type,
    ...(event.stateKey === null ? {} : { state_key: event.stateKey }),
    sender: event.sender,
    content: event.content,
    event_id: event.eventId,
    origin_server_ts: event.ts,
    // Older clients look for the target outside of the content, where room version 11 put it.
    ...(event.redacts === null ? {} : { redacts: event.redacts }),
  };
}

const ageOf = (app: App, event: StoredEvent): number => Math.max(0, app.now() - event.ts);

function unsignedOf(app: App, event: StoredEvent, viewer: Viewer, view: RoomView): JsonObject {
  const { events } = app.store;
  const unsigned: JsonObject = {
    age: ageOf(app, event),
    membership: view.membershipAt(event),
  };
  if (event.txnId !== null && event.sender === viewer.userId && event.deviceId === viewer.deviceId) {
    unsigned.transaction_id = event.txnId;
  }
  Object.assign(unsigned, replacedBy(app, event));
  const redaction = event.redactedBy === null ? undefined : events.byId(event.redactedBy);
  if (redaction !== undefined) {
    unsigned.redacted_by = redaction.eventId;
    unsigned.redacted_because = innerEvent(app, redaction, viewer, view);
  }
  return unsigned;
}

const replacesState = ({ replacesState: id }: StoredEvent): JsonObject =>
  id === null ? {} : { replaces_state: id };

function replacedBy(app: App, event: StoredEvent): JsonObject {
  const replaced = event.replacesState === null ? undefined : app.store.events.byId(event.replacesState);
  if (replaced === undefined) return {};
  return {
    replaces_state: replaced.eventId,
    prev_content: replaced.content,
    prev_sender: replaced.sender,
  };
}
