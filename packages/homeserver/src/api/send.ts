import type { App } from "../app.ts";
import { type JsonObject, optionalString } from "../http/json.ts";
import type { ApiRequest, Session } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { requireJoined } from "../rooms/access.ts";
import { appendEvent } from "../rooms/timeline.ts";

const base = "/_matrix/client/v3/rooms/{roomId}";

/** "Sending events to a room" (messages) and "Redactions". */
export function sendRoutes(app: App): Route[] {
  return [
    route(
      "PUT",
      `${base}/send/{eventType}/{txnId}`,
      (request) => once(app, request, request.param("eventType"), request.body),
      { limit: "message" },
    ),
    route("PUT", `${base}/redact/{eventId}/{txnId}`, (request) => redact(app, request), {
      body: "optional",
      limit: "message",
    }),
  ];
}

function redact(app: App, request: ApiRequest): unknown {
  const reason = optionalString(request.body, "reason");
  const content = { redacts: request.param("eventId"), ...(reason === undefined ? {} : { reason }) };
  return once(app, request, "m.room.redaction", content);
}

/** Sends an event unless this device has sent it with this transaction id before ("Transaction identifiers"). */
function once(app: App, request: ApiRequest, type: string, content: JsonObject): unknown {
  const { clientData, db } = app.store;
  const session: Session = request.session;
  const roomId = request.param("roomId");
  const txnId = request.param("txnId");
  const scope = request.path.includes("/redact/")
    ? `redact ${roomId} ${String(content.redacts)}`
    : `send ${roomId} ${type}`;
  const known = clientData.transaction(session.userId, session.deviceId, scope, txnId);
  if (known !== undefined) return { event_id: known };
  requireJoined(app, session.userId, roomId);
  const eventId = db.transaction(() => {
    const event = appendEvent(app, {
      roomId,
      type,
      sender: session.userId,
      content,
      deviceId: session.deviceId,
      txnId,
    });
    clientData.addTransaction(session.userId, session.deviceId, scope, txnId, event.eventId, app.now());
    return event.eventId;
  });
  return { event_id: eventId };
}
