import type { App } from "../app.ts";
import { forbidden, invalidParam, MatrixError, missingParam, notFound } from "../http/errors.ts";
import { own } from "../http/json.ts";
import type { ApiRequest } from "../http/request.ts";
import { type Route, route } from "../http/router.ts";
import { memberContent } from "../rooms/membership.ts";
import { appendEvent } from "../rooms/timeline.ts";

const base = "/_matrix/client/v3/profile/{userId}";
/** The longest values that other homeservers take; characters. */
const maxLength: Readonly<Record<string, number>> = { displayname: 256, avatar_url: 1_000 };

/** "Profiles": display name and avatar, which follow the user into their rooms. */
export function profileRoutes(app: App): Route[] {
  const limit = { limit: "profile" } as const;
  return [
    route("GET", base, (request) => wholeProfile(app, request.param("userId")), { auth: "optional" }),
    route("GET", `${base}/{keyName}`, (request) => getKey(app, request), { auth: "optional" }),
    route(
      "PUT",
      `${base}/{keyName}`,
      (request) => setKey(app, request, own(request.body, request.param("keyName"))),
      limit,
    ),
    route("DELETE", `${base}/{keyName}`, (request) => setKey(app, request, null), limit),
  ];
}

function wholeProfile(app: App, userId: string): unknown {
  const profile = profileOf(app, userId);
  if (profile.size === 0) throw notFound(`${userId} has no profile`);
  return Object.fromEntries(profile);
}

function profileOf(app: App, userId: string): Map<string, unknown> {
  if (app.store.accounts.user(userId) === undefined) throw notFound(`${userId} is not a user here`);
  return app.store.accounts.profile(userId);
}

function getKey(app: App, request: ApiRequest): unknown {
  const key = request.param("keyName");
  const value = profileOf(app, request.param("userId")).get(key);
  if (value === undefined) {
    if (key === "displayname" || key === "avatar_url") return {};
    throw notFound(`the profile has no ${key}`);
  }
  return { [key]: value };
}

function setKey(app: App, request: ApiRequest, value: unknown): unknown {
  const { userId } = request;
  const key = request.param("keyName");
  if (request.param("userId") !== userId) throw forbidden("that is another user's profile");
  if (key !== "displayname" && key !== "avatar_url") {
    throw new MatrixError(400, "M_UNRECOGNIZED", "profiles here have a displayname and an avatar_url");
  }
  if (value === undefined) throw missingParam(key);
  if (value !== null && typeof value !== "string") throw invalidParam(`${key} must be a string`);
  const kept = value === null || value === "" ? undefined : value;
  const max = maxLength[key] ?? 0;
  if (kept !== undefined && kept.length > max) throw invalidParam(`${key} may have ${max} characters`);
  const { accounts, db, rooms } = app.store;
  db.transaction(() => {
    if (kept === undefined) accounts.deleteProfile(userId, key);
    else accounts.setProfile(userId, key, kept);
  });
  for (const roomId of rooms.joinedRooms(userId)) announce(app, userId, roomId);
  return {};
}

/**
 * Tells a room of its member's new name or picture. A room may refuse even that (one with the join rule
 * `private` takes no join at all): it keeps the old one, and the others hear of the new one.
 */
function announce(app: App, userId: string, roomId: string): void {
  const content = memberContent(app, userId, { membership: "join" });
  try {
    appendEvent(app, { roomId, type: "m.room.member", stateKey: userId, sender: userId, content });
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    app.logger.info({ user: userId, room: roomId, error: error.message }, "a room refuses a new profile");
  }
}
