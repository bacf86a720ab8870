import type { App } from "../app.ts";
import { badJson, limited, tooLarge } from "../http/errors.ts";
import { isObject, type JsonObject, object } from "../http/json.ts";
import type { Session } from "../http/request.ts";

const MAX_CONTENT_BYTES = 65_536;
const MAX_MESSAGES = 5_000;
/** When to look again whether a device has fetched what waits for it. */
const FULL_RETRY_MS = 5_000;

/**
 * PUT /sendToDevice: one message for each named device, `*` for all of a user's; each txn id once. All of it or, where
 * too much of the sender's waits for one of the devices, nothing (M_LIMIT_EXCEEDED).
 */
export function sendToDevice(
  app: App,
  session: Session,
  type: string,
  txnId: string,
  body: JsonObject,
): void {
  const messages = Object.entries(object(body, "messages"));
  const { accounts, clientData, db, positions, toDevice } = app.store;
  const scope = `sendToDevice ${type}`;
  if (clientData.transaction(session.userId, session.deviceId, scope, txnId) !== undefined) return;
  db.transaction(() => {
    clientData.addTransaction(session.userId, session.deviceId, scope, txnId, "{}", app.now());
    const woken: string[] = [];
    let count = 0;
    for (const [userId, devices] of messages) {
      if (!isObject(devices)) throw badJson("messages must map users to devices");
      const known = accounts.devices(userId).map((device) => device.device_id);
      for (const [target, content] of Object.entries(devices)) {
        if (!isObject(content)) throw badJson("the content of a message must be an object");
        const text = JSON.stringify(content);
        if (Buffer.byteLength(text) > MAX_CONTENT_BYTES) {
          throw tooLarge(`a to-device message may have ${MAX_CONTENT_BYTES} bytes`);
        }
        for (const deviceId of target === "*" ? known : known.filter((id) => id === target)) {
          count += 1;
          if (count > MAX_MESSAGES) throw tooLarge(`one request may send ${MAX_MESSAGES} messages`);
          if (!toDevice.add(positions.next(), userId, deviceId, session.userId, type, text)) {
            throw limited(FULL_RETRY_MS, `too much waits for the device ${deviceId} of ${userId} already`);
          }
        }
      }
      woken.push(userId);
    }
    db.afterCommit(() => app.notifier.wake(woken));
  });
}
