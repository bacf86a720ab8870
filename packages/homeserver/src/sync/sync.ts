import type { App } from "../app.ts";
import { deviceListChanges } from "../e2ee/device-lists.ts";
import { keyCounts } from "../e2ee/keys.ts";
import { isObject, type JsonObject } from "../http/json.ts";
import type { Viewer } from "../rooms/client-event.ts";
import type { AccountDataRow } from "../store/client-data.ts";
import type { MembershipRow } from "../store/rooms.ts";
import { ephemeralEvents } from "./ephemeral.ts";
import type { SyncFilter } from "./filter.ts";
import { type RoomWindow, roomHistory, strippedState } from "./room.ts";
import { formatToken, type Token } from "./token.ts";

/** At most this many to-device messages come at once. */
const TO_DEVICE_LIMIT = 100;

export interface SyncQuery {
  readonly viewer: Viewer;
  /** Undefined for an initial sync. */
  readonly since: Token | undefined;
  readonly filter: SyncFilter;
  readonly fullState: boolean;
}

/** The answer to one /sync, and whether there is anything in it worth waking up for. */
export function buildSync(app: App, query: SyncQuery): { body: JsonObject; empty: boolean } {
  const { viewer, since, filter } = query;
  const upTo = app.store.positions.last;
  const after = since?.pos ?? 0;
  const toDevice = readToDevice(app, viewer, since?.toDevice ?? 0, upTo);
  const accountData = app.store.clientData.accountDataSince(viewer.userId, after, upTo);
  const rooms = readRooms(app, query, upTo, accountData);
  const globalData = readAccountData(app, viewer.userId, accountData, filter, since === undefined);
  const lists =
    since === undefined ? { changed: [], left: [] } : deviceListChanges(app, viewer.userId, { after, upTo });
  const sections = Object.entries(rooms).filter(([, section]) => section.size > 0);
  const parts: JsonObject = {
    ...(globalData.length === 0 ? {} : { account_data: { events: globalData } }),
    ...(toDevice.events.length === 0 ? {} : { to_device: { events: toDevice.events } }),
    ...(lists.changed.length + lists.left.length === 0 ? {} : { device_lists: lists }),
    ...(sections.length === 0
      ? {}
      : {
          rooms: Object.fromEntries(sections.map(([name, section]) => [name, Object.fromEntries(section)])),
        }),
  };
  return {
    empty: Object.keys(parts).length === 0,
    body: {
      next_batch: formatToken({ pos: upTo, toDevice: toDevice.upTo }),
      ...parts,
      ...keyCounts(app, viewer.userId, viewer.deviceId),
    },
  };
}

type Section = Map<string, JsonObject>;

function readRooms(
  app: App,
  query: SyncQuery,
  upTo: number,
  accountData: readonly AccountDataRow[],
): Record<"join" | "invite" | "knock" | "leave", Section> {
  const { viewer, since, filter } = query;
  const after = since?.pos ?? 0;
  const sections = { join: new Map(), invite: new Map(), knock: new Map(), leave: new Map() };
  const ignored = app.store.clientData.ignoredUsers(viewer.userId);
  for (const membership of app.store.rooms.memberships(viewer.userId)) {
    const { room_id: roomId } = membership;
    if (!filter.matchesRoom(roomId)) continue;
    if (membership.membership === "join") {
      const room = joinedRoom(app, query, membership, upTo, accountData);
      if (room !== undefined) sections.join.set(roomId, room);
    } else if (membership.membership === "invite" || membership.membership === "knock") {
      if (membership.pos <= after && !query.fullState) continue;
      const inviter = app.store.events.state(roomId, "m.room.member", viewer.userId)?.sender;
      if (inviter !== undefined && ignored.has(inviter)) continue;
      const name = membership.membership === "invite" ? "invite_state" : "knock_state";
      sections[membership.membership].set(roomId, {
        [name]: { events: strippedState(app, roomId, viewer.userId) },
      });
    } else if (since === undefined ? filter.includeLeave : membership.pos > after) {
      sections.leave.set(roomId, leftRoom(app, query, membership, after));
    }
  }
  return sections;
}

function joinedRoom(
  app: App,
  query: SyncQuery,
  membership: MembershipRow,
  upTo: number,
  accountData: readonly AccountDataRow[],
): JsonObject | undefined {
  const { viewer, since, filter } = query;
  const roomId = membership.room_id;
  const after = since?.pos ?? 0;
  const newlyJoined =
    since !== undefined && membership.pos > after && !wasJoined(app, roomId, viewer.userId, after);
  const first = since === undefined || newlyJoined;
  const window: RoomWindow = {
    roomId,
    range: { after: first ? 0 : after, upTo },
    fullState: first || query.fullState,
    newlyJoined,
  };
  const history = roomHistory(app, viewer, window, filter);
  const ephemeral = ephemeralEvents(app, viewer.userId, roomId, { after: first ? 0 : after, upTo }).filter(
    (event) => filter.ephemeral.matchesRoom(roomId) && filter.ephemeral.matches({ ...event, sender: "" }),
  );
  const rows = newlyJoined
    ? app.store.clientData.roomAccountData(viewer.userId, roomId)
    : accountData.filter((row) => row.room_id === roomId);
  const data = rows
    .map(parseAccountData)
    .filter((event) => !first || !isEmptyTags(event))
    .filter(
      (event) =>
        filter.roomAccountData.matchesRoom(roomId) &&
        filter.roomAccountData.matches({ ...event, sender: "" }),
    );
  if (history === undefined && ephemeral.length === 0 && data.length === 0) return undefined;
  const unread = app.store.clientData.unread(viewer.userId, roomId);
  return {
    ...(history ?? {
      timeline: { events: [], limited: false, prev_batch: formatToken({ pos: upTo, toDevice: upTo }) },
      state: { events: [] },
    }),
    ephemeral: { events: ephemeral },
    account_data: { events: data },
    unread_notifications: { notification_count: unread.notify, highlight_count: unread.highlight },
  };
}

/** A room that the user is no longer in: its story up to the end of their stay. */
function leftRoom(app: App, query: SyncQuery, membership: MembershipRow, after: number): JsonObject {
  const roomId = membership.room_id;
  const wasThere = query.since !== undefined && wasJoined(app, roomId, query.viewer.userId, after);
  const window: RoomWindow = {
    roomId,
    range: { after, upTo: membership.pos },
    fullState: query.since === undefined || query.fullState,
    newlyJoined: false,
  };
  const history =
    wasThere || query.since === undefined ? roomHistory(app, query.viewer, window, query.filter) : undefined;
  if (history !== undefined)
    return { timeline: history.timeline, state: history.state, account_data: { events: [] } };
  // Somebody who was never in the room learns how their invite or knock ended, and no more.
  const window2: RoomWindow = {
    ...window,
    range: { after: membership.pos - 1, upTo: membership.pos },
    fullState: false,
  };
  const end = roomHistory(app, query.viewer, window2, query.filter);
  return {
    timeline: end?.timeline ?? {
      events: [],
      limited: false,
      prev_batch: formatToken({ pos: after, toDevice: after }),
    },
    state: { events: [] },
    account_data: { events: [] },
  };
}

function wasJoined(app: App, roomId: string, userId: string, pos: number): boolean {
  return app.store.events.stateEventAt(roomId, "m.room.member", userId, pos)?.content.membership === "join";
}

function readToDevice(
  app: App,
  viewer: Viewer,
  after: number,
  upTo: number,
): { events: JsonObject[]; upTo: number } {
  const rows = app.store.crypto.toDevice(viewer.userId, viewer.deviceId, after, upTo, TO_DEVICE_LIMIT);
  const events = rows.map((row) => ({
    sender: row.sender,
    type: row.type,
    content: JSON.parse(row.content) as unknown,
  }));
  return { events, upTo: rows.length < TO_DEVICE_LIMIT ? upTo : (rows.at(-1)?.pos ?? upTo) };
}

function readAccountData(
  app: App,
  userId: string,
  rows: readonly AccountDataRow[],
  filter: SyncFilter,
  initial: boolean,
): JsonObject[] {
  const events = rows.filter((row) => row.room_id === "").map(parseAccountData);
  if (initial && !events.some((event) => event.type === "m.push_rules")) {
    events.push({ type: "m.push_rules", content: { global: app.pushRules.get(userId) } });
  }
  return events.filter((event) => filter.accountData.matches({ ...event, sender: "" }));
}

/** A room whose tags were all removed has none to tell of at a first look. */
function isEmptyTags(event: { type: string; content: JsonObject }): boolean {
  const { tags } = event.content;
  return event.type === "m.tag" && isObject(tags) && Object.keys(tags).length === 0;
}

function parseAccountData(row: AccountDataRow): { type: string; content: JsonObject } {
  return { type: row.type, content: JSON.parse(row.content) as JsonObject };
}
