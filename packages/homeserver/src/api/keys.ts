import type { App } from "../app.ts";
import { deviceListChanges } from "../e2ee/device-lists.ts";
import { claimKeys, oneTimeKeyCounts, uploadKeys } from "../e2ee/keys.ts";
import { queryKeys } from "../e2ee/query.ts";
import { sendToDevice } from "../e2ee/to-device.ts";
import { missingParam } from "../http/errors.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { parseToken } from "../sync/token.ts";

const base = "/_matrix/client/v3/keys";
const MIB = 1024 * 1024;

/** "End-to-End Encryption" (keys) and "Send-to-Device messaging". */
export function keyRoutes(app: App): Route[] {
  const limit = { limit: "keys" } as const;
  return [
    route("POST", `${base}/upload`, (request) => upload(app, request), limit),
    route("POST", `${base}/query`, (request) => queryKeys(app, request.userId, request.body), limit),
    route("POST", `${base}/claim`, (request) => claimKeys(app, request.body), limit),
    route("GET", `${base}/changes`, (request) => changes(app, request)),
    route(
      "PUT",
      "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}",
      (request) => {
        sendToDevice(app, request.session, request.param("eventType"), request.param("txnId"), request.body);
        return {};
      },
      { maxBodyBytes: 8 * MIB, limit: "to_device" },
    ),
  ];
}

function upload(app: App, request: ApiRequest): unknown {
  const { userId, deviceId } = request.session;
  uploadKeys(app, userId, deviceId, request.body);
  return { one_time_key_counts: oneTimeKeyCounts(app, userId, deviceId) };
}

function changes(app: App, request: ApiRequest): unknown {
  const { last } = app.store.positions;
  const [from, to] = ["from", "to"].map((name) => {
    const text = request.query.get(name);
    if (text === null) throw missingParam(name);
    return parseToken(text, last).pos;
  });
  return deviceListChanges(app, request.userId, { after: from ?? 0, upTo: to ?? last });
}
