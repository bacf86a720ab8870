import type { App } from "../app.ts";
import { badJson, invalidParam, MatrixError, notFound } from "../http/errors.ts";
import { isObject, type JsonObject, queryInteger } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { parseFilter, type SyncFilter } from "../sync/filter.ts";
import { buildSync } from "../sync/sync.ts";
import { parseToken, type Token } from "../sync/token.ts";

const MAX_TIMEOUT_MS = 10 * 60 * 1000;
const MAX_FILTER_BYTES = 64 * 1024;

/** "Syncing" and "Filtering". */
export function syncRoutes(app: App): Route[] {
  return [
    route("GET", "/_matrix/client/v3/sync", (request) => sync(app, request)),
    route("POST", "/_matrix/client/v3/user/{userId}/filter", (request) => addFilter(app, request), {
      maxBodyBytes: MAX_FILTER_BYTES,
      limit: "account_data",
    }),
    route("GET", "/_matrix/client/v3/user/{userId}/filter/{filterId}", (request) => {
      requireSelf(request);
      return JSON.parse(storedFilter(app, request.userId, request.param("filterId"))) as unknown;
    }),
  ];
}

/** Answers at once when there is something new, else waits until there is, at most `timeout`. */
async function sync(app: App, request: ApiRequest): Promise<unknown> {
  const { userId, deviceId } = request.session;
  const timeout = queryInteger(request.query, "timeout", 0, 0, MAX_TIMEOUT_MS);
  const sinceText = request.query.get("since");
  const since =
    sinceText === null || sinceText === "" ? undefined : parseToken(sinceText, app.store.positions.last);
  const fullState = request.query.get("full_state") === "true";
  const filter = filterOf(app, request);
  const presence = request.query.get("set_presence");
  if (presence !== null && !["online", "offline", "unavailable"].includes(presence)) {
    throw invalidParam(`${presence} is not a presence`);
  }
  if (presence !== "offline") app.presence.set(userId, presence ?? "online", undefined);
  if (since !== undefined) acknowledge(app, userId, deviceId, since);
  let closed = false;
  let stopWaiting = () => {};
  request.onClosed(() => {
    closed = true;
    stopWaiting();
  });
  const deadline = performance.now() + timeout;
  for (;;) {
    const { body, empty } = buildSync(app, { viewer: { userId, deviceId }, since, filter, fullState });
    const remaining = deadline - performance.now();
    if (!empty || since === undefined || fullState || remaining <= 0 || closed || app.notifier.stopped)
      return body;
    await app.notifier.wait(userId, remaining, (stop) => {
      stopWaiting = stop;
    });
    // The token may have been refreshed meanwhile; what counts is that the device was not logged out.
    if (app.store.accounts.device(userId, deviceId) === undefined) {
      throw new MatrixError(401, "M_UNKNOWN_TOKEN", "the access token has ended", { soft_logout: false });
    }
  }
}

/** A position that comes back is the client's word that it has everything up to there. */
function acknowledge(app: App, userId: string, deviceId: string, since: Token): void {
  const { db, toDevice } = app.store;
  if (!toDevice.hasAny(userId, deviceId, since.toDevice)) return;
  db.transaction(() => toDevice.acknowledge(userId, deviceId, since.toDevice));
}

function filterOf(app: App, request: ApiRequest): SyncFilter {
  const text = request.query.get("filter");
  if (text === null || text === "") return parseFilter({});
  if (text.startsWith("{")) return parseFilter(parseDefinition(text));
  if (!/^\d{1,9}$/.test(text)) throw invalidParam("filter is neither JSON nor the id of a filter");
  const definition = app.store.clientData.filter(request.userId, Number(text));
  if (definition === undefined) throw invalidParam(`there is no filter ${text}`);
  return parseFilter(parseDefinition(definition));
}

function parseDefinition(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalidParam("filter is neither JSON nor the id of a filter");
  }
  if (!isObject(value)) throw badJson("a filter must be an object");
  return value;
}

function storedFilter(app: App, userId: string, filterId: string): string {
  const definition = /^\d{1,9}$/.test(filterId)
    ? app.store.clientData.filter(userId, Number(filterId))
    : undefined;
  if (definition === undefined) throw notFound(`there is no filter ${filterId}`);
  return definition;
}

function addFilter(app: App, request: ApiRequest): unknown {
  requireSelf(request);
  parseFilter(request.body);
  const { clientData, db } = app.store;
  const definition = JSON.stringify(request.body);
  return { filter_id: String(db.transaction(() => clientData.addFilter(request.userId, definition))) };
}

/** Refuses a path that names another user than the token's (M_FORBIDDEN). */
export function requireSelf(request: ApiRequest): void {
  if (request.param("userId") !== request.userId) {
    throw new MatrixError(403, "M_FORBIDDEN", "that belongs to another user");
  }
}
