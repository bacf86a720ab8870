import type { App } from "../app.ts";
import { badJson, invalidParam, MatrixError } from "../http/errors.ts";
import {
  isObject,
  type JsonObject,
  optionalArray,
  optionalBoolean,
  optionalObject,
  optionalString,
  optionalStrings,
  string,
} from "../http/json.ts";
import { ROOM_VERSION } from "./auth.ts";
import { isRoomAlias, isUserId, newRoomId } from "./ids.ts";
import { memberContent, requireLocal } from "./membership.ts";
import { checkStateContent } from "./state-checks.ts";
import { appendEvent } from "./timeline.ts";

const presets = {
  private_chat: { join_rule: "invite", history_visibility: "shared", guest_access: "can_join" },
  trusted_private_chat: { join_rule: "invite", history_visibility: "shared", guest_access: "can_join" },
  public_chat: { join_rule: "public", history_visibility: "shared", guest_access: undefined },
} as const;

/** A room is made in one piece, during which the server does nothing else. */
const MAX_INITIAL_STATE = 500;
const MAX_INVITES = 200;

type Preset = keyof typeof presets;

interface StateSpec {
  readonly type: string;
  readonly stateKey: string;
  readonly content: JsonObject;
}

/** Makes a room as POST /createRoom describes, all of it or nothing; answers with its id. */
export function createRoom(app: App, creator: string, body: JsonObject): string {
  const version = optionalString(body, "room_version") ?? ROOM_VERSION;
  if (version !== ROOM_VERSION) {
    throw new MatrixError(
      400,
      "M_UNSUPPORTED_ROOM_VERSION",
      `this homeserver makes rooms of version ${ROOM_VERSION}`,
    );
  }
  const visibility = optionalString(body, "visibility") ?? "private";
  if (visibility !== "public" && visibility !== "private") throw badJson("visibility is public or private");
  const preset = presetOf(body, visibility);
  const invites = invitesOf(body);
  const initialState = initialStateOf(body);
  const isDirect = optionalBoolean(body, "is_direct") === true;
  const alias = aliasOf(app, body);
  const roomId = newRoomId(app.settings.serverName);
  const { db, rooms } = app.store;
  return db.transaction(() => {
    if (alias !== undefined && rooms.alias(alias) !== undefined) {
      throw new MatrixError(400, "M_ROOM_IN_USE", `${alias} is another room's alias`);
    }
    rooms.create(roomId, creator, version);
    const send = (type: string, stateKey: string, content: JsonObject) =>
      appendEvent(app, { roomId, type, stateKey, sender: creator, content });
    send("m.room.create", "", { ...createContent(body), room_version: version });
    send("m.room.member", creator, memberContent(app, creator, { membership: "join" }));
    send("m.room.power_levels", "", powerLevels(body, creator, preset, invites));
    if (alias !== undefined) {
      rooms.addAlias(alias, roomId, creator);
      send("m.room.canonical_alias", "", { alias });
    }
    for (const { type, stateKey, content } of presetState(preset, initialState))
      send(type, stateKey, content);
    for (const { type, stateKey, content } of initialState) {
      checkStateContent(app, roomId, type, stateKey, content);
      send(type, stateKey, content);
    }
    const name = optionalString(body, "name");
    if (name !== undefined) send("m.room.name", "", { name });
    const topic = optionalString(body, "topic");
    if (topic !== undefined) send("m.room.topic", "", { topic, "m.topic": { "m.text": [{ body: topic }] } });
    for (const userId of invites) {
      requireLocal(app, userId);
      send(
        "m.room.member",
        userId,
        memberContent(app, userId, { membership: "invite", ...(isDirect ? { is_direct: true } : {}) }),
      );
    }
    if (visibility === "public") rooms.setPublished(roomId, true);
    return roomId;
  });
}

function presetOf(body: JsonObject, visibility: "public" | "private"): Preset {
  const preset = optionalString(body, "preset") ?? (visibility === "public" ? "public_chat" : "private_chat");
  if (!Object.hasOwn(presets, preset)) throw badJson(`${preset} is not a preset`);
  return preset as Preset;
}

function invitesOf(body: JsonObject): string[] {
  const invites = optionalStrings(body, "invite") ?? [];
  if (invites.length > MAX_INVITES)
    throw invalidParam(`invite may name ${MAX_INVITES} users; invite more later`);
  const wrong = invites.find((userId) => !isUserId(userId));
  if (wrong !== undefined) throw invalidParam(`${wrong} is not a user id`);
  if ((optionalArray(body, "invite_3pid") ?? []).length > 0) {
    throw new MatrixError(
      403,
      "M_THREEPID_DENIED",
      "this homeserver has no identity server to invite through",
    );
  }
  return [...new Set(invites)];
}

function initialStateOf(body: JsonObject): StateSpec[] {
  const items = optionalArray(body, "initial_state") ?? [];
  if (items.length > MAX_INITIAL_STATE)
    throw invalidParam(`initial_state may have ${MAX_INITIAL_STATE} events; send more later`);
  return items.map((item) => {
    if (!isObject(item)) throw badJson("initial_state must be an array of objects");
    const content = optionalObject(item, "content");
    if (content === undefined) throw badJson("an event of initial_state has no content");
    return { type: string(item, "type"), stateKey: optionalString(item, "state_key") ?? "", content };
  });
}

function aliasOf(app: App, body: JsonObject): string | undefined {
  const local = optionalString(body, "room_alias_name");
  if (local === undefined) return undefined;
  const alias = `#${local}:${app.settings.serverName}`;
  if (/[\s:]/.test(local) || !isRoomAlias(alias))
    throw invalidParam(`${local} can't be the name of an alias`);
  return alias;
}

/** `creation_content` without what the server alone decides. */
function createContent(body: JsonObject): JsonObject {
  const content = optionalObject(body, "creation_content") ?? {};
  const { creator: _creator, room_version: _version, ...rest } = content;
  return rest;
}

function powerLevels(
  body: JsonObject,
  creator: string,
  preset: Preset,
  invites: readonly string[],
): JsonObject {
  const users: Record<string, number> = { [creator]: 100 };
  if (preset === "trusted_private_chat") for (const userId of invites) users[userId] = 100;
  return {
    users,
    users_default: 0,
    events: {
      "m.room.name": 50,
      "m.room.power_levels": 100,
      "m.room.history_visibility": 100,
      "m.room.canonical_alias": 50,
      "m.room.avatar": 50,
      "m.room.tombstone": 100,
      "m.room.server_acl": 100,
      "m.room.encryption": 100,
      ...(preset === "public_chat" ? { "m.call.invite": 50 } : {}),
    },
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    invite: preset === "public_chat" ? 50 : 0,
    ...optionalObject(body, "power_level_content_override"),
  };
}

/** The state of the preset, without what initial_state sets itself. */
function presetState(preset: Preset, initialState: readonly StateSpec[]): StateSpec[] {
  const rules = presets[preset];
  return [
    { type: "m.room.join_rules", stateKey: "", content: { join_rule: rules.join_rule } },
    {
      type: "m.room.history_visibility",
      stateKey: "",
      content: { history_visibility: rules.history_visibility },
    },
    // Without the event, guests are forbidden.
    ...(rules.guest_access === undefined
      ? []
      : [{ type: "m.room.guest_access", stateKey: "", content: { guest_access: rules.guest_access } }]),
  ].filter(
    (preset) =>
      !initialState.some((event) => event.type === preset.type && event.stateKey === preset.stateKey),
  );
}
