import type { App } from "../app.ts";
import { syncedDeviceLists } from "../e2ee/device-lists.ts";
import { keyCounts } from "../e2ee/keys.ts";
import type { JsonObject } from "../http/json.ts";
import type { Viewer } from "../rooms/client-event.ts";
import type { AccountDataRow } from "../store/client-data.ts";
import type { SyncFilter } from "./filter.ts";
import { parseAccountData, roomSections } from "./sections.ts";
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
  const rooms = roomSections(app, query, upTo, accountData);
  const globalData = readAccountData(app, viewer.userId, accountData, filter, since === undefined);
  const lists =
    since === undefined
      ? { changed: [], left: [] }
      : syncedDeviceLists(app, viewer.userId, { after, upTo }, query.fullState);
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

function readToDevice(
  app: App,
  viewer: Viewer,
  after: number,
  upTo: number,
): { events: JsonObject[]; upTo: number } {
  const rows = app.store.toDevice.waiting(viewer.userId, viewer.deviceId, after, upTo, TO_DEVICE_LIMIT);
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
