import type { App } from "../app.ts";
import { isObject, type JsonObject } from "../http/json.ts";
import { innerEvent, type Viewer } from "./client-event.ts";
import type { StoredEvent } from "./event.ts";
import type { RoomView } from "./visibility.ts";

const MAX_BUNDLED = 100;

/** What relates to an event, as it comes with it ("Aggregations of child events"). */
export function bundledRelations(
  app: App,
  event: StoredEvent,
  viewer: Viewer,
  view: RoomView,
): JsonObject | undefined {
  const { events } = app.store;
  if (!events.hasRelations(event.eventId)) return undefined;
  const range = { after: 0, upTo: Number.MAX_SAFE_INTEGER };
  const children = (relType: string, limit: number) =>
    events.relations(event.eventId, range, { relType }, "b", limit).filter((child) => view.sees(child));
  const references = children("m.reference", MAX_BUNDLED);
  const edit = events
    .relationsBy(event.eventId, "m.replace", event.sender, MAX_BUNDLED)
    .find((child) => view.sees(child) && isEdit(event, child));
  const [latest] = children("m.thread", MAX_BUNDLED);
  const bundle: JsonObject = {
    ...(references.length === 0
      ? {}
      : { "m.reference": { chunk: references.reverse().map((child) => ({ event_id: child.eventId })) } }),
    ...(edit === undefined ? {} : { "m.replace": innerEvent(app, edit, viewer, view) }),
    ...(latest === undefined
      ? {}
      : {
          "m.thread": {
            latest_event: innerEvent(app, latest, viewer, view),
            count: events.relationCount(event.eventId, "m.thread"),
            current_user_participated:
              event.sender === viewer.userId ||
              events.hasRelationBy(event.eventId, "m.thread", viewer.userId),
          },
        }),
  };
  return Object.keys(bundle).length === 0 ? undefined : bundle;
}

/** "Validity of replacement events", as far as a server can see it. */
function isEdit(event: StoredEvent, child: StoredEvent): boolean {
  return (
    child.sender === event.sender &&
    child.type === event.type &&
    child.stateKey === null &&
    event.stateKey === null &&
    (child.type === "m.room.encrypted" || isObject(child.content["m.new_content"]))
  );
}
