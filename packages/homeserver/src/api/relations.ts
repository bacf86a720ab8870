import type { App } from "../app.ts";
import { invalidParam } from "../http/errors.ts";
import { queryInteger } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { viewLimit } from "../rooms/access.ts";
import { clientEvent } from "../rooms/client-event.ts";
import type { StoredEvent } from "../rooms/event.ts";
import { viewOf } from "../rooms/visibility.ts";
import { pageToken, parseToken } from "../sync/token.ts";
import { visibleEvent } from "./messages.ts";

const base = "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}";
const MAX_LIMIT = 500;
const MAX_DEPTH = 3;

/** "Relationships API". */
export function relationRoutes(app: App): Route[] {
  return [
    route("GET", base, (request) => relations(app, request, {})),
    route("GET", `${base}/{relType}`, (request) =>
      relations(app, request, { relType: request.param("relType") }),
    ),
    route("GET", `${base}/{relType}/{eventType}`, (request) =>
      relations(app, request, { relType: request.param("relType"), type: request.param("eventType") }),
    ),
  ];
}

function relations(app: App, request: ApiRequest, wanted: { relType?: string; type?: string }): unknown {
  const roomId = request.param("roomId");
  const view = viewOf(app, request.userId, roomId);
  const parent = visibleEvent(app, view, roomId, request.param("eventId"));
  const direction = request.query.get("dir") ?? "b";
  if (direction !== "b" && direction !== "f") throw invalidParam("dir is b or f");
  const limit = queryInteger(request.query, "limit", 50, 1, MAX_LIMIT);
  const end = viewLimit(app, request.userId, roomId);
  const { last } = app.store.positions;
  const place = (name: string) => {
    const text = request.query.get(name);
    return text === null ? undefined : parseToken(text, last).pos;
  };
  const [from, to] = [place("from"), place("to")];
  const range =
    direction === "b"
      ? { after: to ?? 0, upTo: Math.min(from ?? end, end) }
      : { after: from ?? 0, upTo: Math.min(to ?? end, end) };
  const recurse = request.query.get("recurse") === "true";
  const found = descendants(
    app,
    parent.eventId,
    range,
    wanted,
    direction,
    limit + 1,
    recurse ? MAX_DEPTH : 1,
  );
  const page = found.slice(0, limit);
  const lastShown = page.at(-1);
  const next = lastShown === undefined ? 0 : direction === "b" ? lastShown.pos - 1 : lastShown.pos;
  return {
    chunk: page.filter(view.sees).map((event) => clientEvent(app, event, request.session, view)),
    ...(found.length > limit ? { next_batch: pageToken(next) } : {}),
    ...(from === undefined ? {} : { prev_batch: pageToken(from) }),
    ...(recurse ? { recursion_depth: MAX_DEPTH } : {}),
  };
}

/** Children of an event and, level by level, theirs; in the order asked for, at most `limit`. */
function descendants(
  app: App,
  parentId: string,
  range: { after: number; upTo: number },
  wanted: { relType?: string; type?: string },
  direction: "b" | "f",
  limit: number,
  depth: number,
): StoredEvent[] {
  const { events } = app.store;
  if (depth === 1) return events.relations(parentId, range, wanted, direction, limit);
  const all = new Map<string, StoredEvent>();
  let parents = [parentId];
  for (let level = 0; level < depth && all.size < MAX_LIMIT * 2; level++) {
    const children = parents.flatMap((id) => events.relations(id, range, {}, direction, limit));
    for (const child of children) all.set(child.eventId, child);
    parents = children.map((child) => child.eventId);
  }
  return [...all.values()]
    .filter((event) => wanted.type === undefined || event.type === wanted.type)
    .filter((event) => wanted.relType === undefined || relTypeOf(event) === wanted.relType)
    .sort((a, b) => (direction === "b" ? b.pos - a.pos : a.pos - b.pos))
    .slice(0, limit);
}

function relTypeOf(event: StoredEvent): unknown {
  const relates = event.content["m.relates_to"];
  return typeof relates === "object" && relates !== null && "rel_type" in relates
    ? relates.rel_type
    : undefined;
}
