import type { App } from "../app.ts";
import { isObject, type JsonObject } from "../http/json.ts";
import { lastStay } from "../rooms/stay.ts";
import type { AccountDataRow } from "../store/client-data.ts";
import type { MembershipRow } from "../store/rooms.ts";
import { ephemeralEvents } from "./ephemeral.ts";
import {
  MAX_TIMELINE_BYTES,
  type RoomWindow,
  roomHistory,
  strippedState,
  type TimelineBytes,
} from "./room.ts";
import type { SyncQuery } from "./sync.ts";
import { pageToken, type Token } from "./token.ts";

type Section = Map<string, JsonObject>;

/** The rooms of a /sync answer, by what they are to the user. */
export function roomSections(
  app: App,
  query: SyncQuery,
  upTo: number,
  accountData: readonly AccountDataRow[],
): Record<"join" | "invite" | "knock" | "leave", Section> {
  const { viewer, since, filter } = query;
  const { clientData, events, rooms } = app.store;
  const after = since?.pos ?? 0;
  const sections = { join: new Map(), invite: new Map(), knock: new Map(), leave: new Map() };
  const ignored = clientData.ignoredUsers(viewer.userId);
  const changes: Changes = {
    upTo,
    bytes: { left: MAX_TIMELINE_BYTES },
    accountData: Map.groupBy(accountData, (row) => row.room_id),
    receipts: since === undefined ? undefined : clientData.roomsWithReceipts(after, upTo),
  };
  for (const membership of rooms.memberships(viewer.userId)) {
    const { room_id: roomId } = membership;
    if (!filter.matchesRoom(roomId)) continue;
    if (membership.membership === "join") {
      const room = joinedRoom(app, query, membership, changes);
      if (room !== undefined) sections.join.set(roomId, room);
    } else if (membership.membership === "invite" || membership.membership === "knock") {
      if (membership.pos <= after && !query.fullState) continue;
      const left = leftMeanwhile(app, viewer.userId, membership, since);
      if (left !== undefined)
        sections.leave.set(roomId, leftRoom(app, query, { ...membership, pos: left }, after, changes.bytes));
      const inviter = events.state(roomId, "m.room.member", viewer.userId)?.sender;
      if (inviter !== undefined && ignored.has(inviter)) continue;
      const name = membership.membership === "invite" ? "invite_state" : "knock_state";
      const state = strippedState(app, roomId, viewer.userId);
      sections[membership.membership].set(roomId, { [name]: { events: state } });
    } else if (since === undefined ? isWanted(query, membership) : membership.pos > after) {
      sections.leave.set(roomId, leftRoom(app, query, membership, after, changes.bytes));
    }
  }
  return sections;
}

/** Of the rooms that one is no longer in, a first sync has those that banned one, and the others on demand. */
function isWanted(query: SyncQuery, membership: MembershipRow): boolean {
  return query.filter.includeLeave || membership.membership === "ban";
}

/** Where the user last left a room, or was made to, after what they know of it; undefined when they have not. */
function leftMeanwhile(
  app: App,
  userId: string,
  { room_id: roomId, pos }: MembershipRow,
  since: Token | undefined,
): number | undefined {
  if (since === undefined || pos <= since.pos) return undefined;
  return app.store.events
    .stateHistory(roomId, "m.room.member", userId)
    .findLast((event) => event.pos > since.pos && ["leave", "ban"].includes(String(event.content.membership)))
    ?.pos;
}

/** What the rooms of one answer share: what changed beside the timelines, and how much room there is. */
interface Changes {
  readonly upTo: number;
  readonly bytes: TimelineBytes;
  readonly accountData: ReadonlyMap<string, readonly AccountDataRow[]>;
  /** Undefined when every room's receipts are wanted. */
  readonly receipts: ReadonlySet<string> | undefined;
}

function joinedRoom(
  app: App,
  query: SyncQuery,
  membership: MembershipRow,
  changes: Changes,
): JsonObject | undefined {
  const { viewer, since, filter } = query;
  const roomId = membership.room_id;
  // Whoever went and came back has not heard what happened meanwhile.
  const newlyJoined =
    since !== undefined &&
    membership.pos > since.pos &&
    (!wasJoined(app, roomId, viewer.userId, since.pos) ||
      leftMeanwhile(app, viewer.userId, membership, since) !== undefined);
  const first = since === undefined || newlyJoined;
  const range = { after: first ? 0 : since.pos, upTo: changes.upTo };
  const window: RoomWindow = {
    roomId,
    range,
    fullState: first || query.fullState,
    newlyJoined,
    stayEnd: changes.upTo,
    bytes: changes.bytes,
  };
  const history = roomHistory(app, viewer, window, filter);
  const withReceipts = first || changes.receipts === undefined || changes.receipts.has(roomId);
  const ephemeral = ephemeralEvents(app, viewer.userId, roomId, range, withReceipts).filter(
    (event) => filter.ephemeral.matchesRoom(roomId) && filter.ephemeral.matches({ ...event, sender: "" }),
  );
  const { clientData } = app.store;
  const rows = newlyJoined
    ? clientData.roomAccountData(viewer.userId, roomId)
    : (changes.accountData.get(roomId) ?? []);
  const data = rows
    .map(parseAccountData)
    .filter((event) => !first || !isEmptyTags(event))
    .filter(
      (event) =>
        filter.roomAccountData.matchesRoom(roomId) &&
        filter.roomAccountData.matches({ ...event, sender: "" }),
    );
  if (history === undefined && ephemeral.length === 0 && data.length === 0) return undefined;
  const unread = clientData.unread(viewer.userId, roomId);
  return {
    ...(history ?? nothingNew(changes.upTo)),
    ephemeral: { events: ephemeral },
    account_data: { events: data },
    unread_notifications: { notification_count: unread.notify, highlight_count: unread.highlight },
  };
}

/**
 * A room that the user is no longer in: its story up to the end of their stay, and what became of them since,
 * as a ban. Whoever was not there learns how their invite or knock ended, and no more.
 */
function leftRoom(
  app: App,
  query: SyncQuery,
  membership: MembershipRow,
  after: number,
  bytes: TimelineBytes,
): JsonObject {
  const { room_id: roomId, pos } = membership;
  const { userId } = query.viewer;
  const end = lastStay(app, userId, roomId)?.end ?? 0;
  const endedSince = end > after;
  const known = query.since !== undefined && wasJoined(app, roomId, userId, after);
  const window: RoomWindow = {
    roomId,
    range: { after: endedSince ? (known ? after : 0) : pos - 1, upTo: pos },
    fullState: endedSince && (!known || query.fullState),
    newlyJoined: false,
    stayEnd: end,
    bytes,
  };
  const history = roomHistory(app, query.viewer, window, query.filter) ?? nothingNew(after);
  const state = endedSince ? history.state : { events: [] };
  return { timeline: history.timeline, state, account_data: { events: [] } };
}

function nothingNew(pos: number): JsonObject {
  return { timeline: { events: [], limited: false, prev_batch: pageToken(pos) }, state: { events: [] } };
}

function wasJoined(app: App, roomId: string, userId: string, pos: number): boolean {
  return app.store.events.stateEventAt(roomId, "m.room.member", userId, pos)?.content.membership === "join";
}

/** A room whose tags were all removed has none to tell of at a first look. */
function isEmptyTags(event: { type: string; content: JsonObject }): boolean {
  const { tags } = event.content;
  return event.type === "m.tag" && isObject(tags) && Object.keys(tags).length === 0;
}

export function parseAccountData(row: AccountDataRow): { type: string; content: JsonObject } {
  return { type: row.type, content: JSON.parse(row.content) as JsonObject };
}
