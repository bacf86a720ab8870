import type { App } from "../app.ts";
import { forbidden, invalidParam, MatrixError, tooLarge } from "../http/errors.ts";
import { checkCanonical, type JsonObject } from "../http/json.ts";
import type { Membership } from "../store/rooms.ts";
import { authorise } from "./auth.ts";
import { membershipOf, relationOf, type StoredEvent } from "./event.ts";
import { newEventId } from "./ids.ts";
import { namedLevel, type StateView, userLevel } from "./levels.ts";
import { redactedContent } from "./redaction.ts";
import { countUnread } from "./unread.ts";

/** What somebody asks to add to a room. */
export interface NewEvent {
  readonly roomId: string;
  readonly type: string;
  /** Left out for message events. */
  readonly stateKey?: string;
  readonly sender: string;
  readonly content: JsonObject;
  readonly deviceId?: string;
  readonly txnId?: string;
}

const MAX_EVENT_BYTES = 65_536;
const MAX_FIELD_BYTES = 255;
/** What the id, the time stamp, hashes and signatures of a federated event would add. */
const ENVELOPE_BYTES = 1_000;

/** The current state of a room, as the authorisation rules look at it. */
export function stateView(app: App, roomId: string): StateView {
  return { get: (type, stateKey) => app.store.events.state(roomId, type, stateKey) };
}

/**
 * Adds an event to a room, or refuses: M_FORBIDDEN with the rule's reason, M_TOO_LARGE, M_BAD_JSON.
 * The writes are one unit; whoever calls this within a transaction makes several events one unit.
 */
export function appendEvent(app: App, proposed: NewEvent): StoredEvent {
  const json = JSON.stringify(proposed.content);
  checkSize(proposed, json);
  const stateKey = proposed.stateKey ?? null;
  const view = stateView(app, proposed.roomId);
  const verdict = authorise({ ...proposed, stateKey }, view);
  if (!verdict.allowed) throw forbidden(verdict.reason);
  const target = proposed.type === "m.room.redaction" ? redactionTarget(app, proposed, view) : undefined;
  const { db, events, rooms, positions } = app.store;
  return db.transaction(() => {
    const replaced = stateKey === null ? undefined : events.state(proposed.roomId, proposed.type, stateKey);
    const event: StoredEvent = {
      pos: positions.next(),
      eventId: newEventId(),
      roomId: proposed.roomId,
      type: proposed.type,
      stateKey,
      sender: proposed.sender,
      ts: app.now(),
      content: proposed.content,
      size: json.length,
      redacts: target?.eventId ?? null,
      redactedBy: null,
      replacesState: replaced?.eventId ?? null,
      deviceId: proposed.deviceId ?? null,
      txnId: proposed.txnId ?? null,
    };
    events.insert(event, json);
    const before = new Set(rooms.joined(event.roomId));
    if (event.type === "m.room.member" && stateKey !== null) {
      // The rules let no other membership through.
      const membership = membershipOf(event) as Membership;
      rooms.setMembership(stateKey, event.roomId, membership, event.pos);
      // A new name or picture is a membership event too, and reads nothing.
      if (membership === "join" && (replaced === undefined || membershipOf(replaced) !== "join"))
        app.store.clientData.setUnread(stateKey, event.roomId, { notify: 0, highlight: 0, pos: event.pos });
      // Whoever is gone types no more.
      if (membership !== "join") db.afterCommit(() => app.typing.set(event.roomId, stateKey, false, 0));
      before.add(stateKey);
    }
    const relation = relationOf(event.content);
    if (relation?.relType === "m.annotation") refuseDuplicate(app, event, relation.eventId);
    if (relation !== undefined && events.byId(relation.eventId)?.roomId === event.roomId) {
      events.relate(relation.eventId, event, relation.relType);
    }
    if (target !== undefined)
      events.redact(target, redactedContent(target.type, target.content), event.eventId);
    countUnread(app, event);
    db.afterCommit(() => app.notifier.wake(before));
    return event;
  });
}

/** `json` is the content's. */
function checkSize(event: NewEvent, json: string): void {
  checkCanonical([event.type, event.stateKey, event.content]);
  for (const [name, value] of Object.entries({
    type: event.type,
    state_key: event.stateKey ?? "",
    sender: event.sender,
  })) {
    if (Buffer.byteLength(value) > MAX_FIELD_BYTES)
      throw tooLarge(`${name} may have ${MAX_FIELD_BYTES} bytes`);
  }
  if (event.type === "") throw invalidParam("an event needs a type");
  const around = JSON.stringify({ ...event, content: {} });
  const bytes = Buffer.byteLength(around) + Buffer.byteLength(json) + ENVELOPE_BYTES;
  if (bytes > MAX_EVENT_BYTES) throw tooLarge(`an event may have ${MAX_EVENT_BYTES} bytes`);
}

/** "Avoiding duplicate annotations": a reaction counts once (M_DUPLICATE_ANNOTATION). */
function refuseDuplicate(app: App, event: StoredEvent, parentId: string): void {
  const { key } = event.content["m.relates_to"] as JsonObject;
  if (typeof key === "string" && app.store.events.hasAnnotation(parentId, event.type, event.sender, key)) {
    throw new MatrixError(
      400,
      "M_DUPLICATE_ANNOTATION",
      "you have annotated that event with the same key already",
    );
  }
}

/** Room version 11, "Handling redactions": one's own events, or with the redact level anybody's. */
function redactionTarget(app: App, proposed: NewEvent, view: StateView): StoredEvent {
  const id = proposed.content.redacts;
  const target = typeof id === "string" ? app.store.events.byId(id) : undefined;
  if (target === undefined || target.roomId !== proposed.roomId) {
    throw new MatrixError(404, "M_NOT_FOUND", "there is no such event in the room to redact");
  }
  if (target.type === "m.room.create") throw forbidden("the create event can't be redacted");
  if (target.sender !== proposed.sender && userLevel(view, proposed.sender) < namedLevel(view, "redact")) {
    throw forbidden("redacting somebody else's event needs a higher power level");
  }
  return target;
}
