import type { SQLInputValue } from "node:sqlite";
import type { JsonObject } from "../http/json.ts";
import type { StoredEvent } from "../rooms/event.ts";
import type { Database } from "./database.ts";

interface EventRow {
  pos: number;
  event_id: string;
  room_id: string;
  type: string;
  state_key: string | null;
  sender: string;
  ts: number;
  content: string;
  redacts: string | null;
  redacted_by: string | null;
  replaces_state: string | null;
  device_id: string | null;
  txn_id: string | null;
}

function toEvent(row: EventRow): StoredEvent {
  return {
    pos: row.pos,
    eventId: row.event_id,
    roomId: row.room_id,
    type: row.type,
    stateKey: row.state_key,
    sender: row.sender,
    ts: row.ts,
    content: JSON.parse(row.content) as JsonObject,
    size: row.content.length,
    redacts: row.redacts,
    redactedBy: row.redacted_by,
    replacesState: row.replaces_state,
    deviceId: row.device_id,
    txnId: row.txn_id,
  };
}

/** Positions are exclusive at `after` and inclusive at `upTo`. */
export interface Range {
  readonly after: number;
  readonly upTo: number;
}

const STATE_CACHE = 20_000;
const ROOMS_CACHE = 50_000;

/** Events, the current state of rooms, and relations between events. */
export class EventStore {
  readonly #db: Database;
  /** Current state events by room, type and key; the least recently used go first. */
  readonly #state = new Map<string, StoredEvent | null>();
  /** Where rooms end. One that is too high costs a query, no more. */
  readonly #lastPos = new Map<string, number>();

  constructor(db: Database) {
    this.#db = db;
    db.onReset(() => {
      this.#state.clear();
      this.#lastPos.clear();
    });
  }

  /** `content` is the event's, as JSON. */
  insert(event: StoredEvent, content: string): void {
    this.#db.run(
      `INSERT INTO events (pos, event_id, room_id, type, state_key, sender, ts, content, redacts, replaces_state, device_id, txn_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      event.pos,
      event.eventId,
      event.roomId,
      event.type,
      event.stateKey,
      event.sender,
      event.ts,
      content,
      event.redacts,
      event.replacesState,
      event.deviceId,
      event.txnId,
    );
    this.#lastPos.set(event.roomId, event.pos);
    if (event.stateKey === null) return;
    this.#db.run(
      "INSERT INTO current_state VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET pos = excluded.pos",
      event.roomId,
      event.type,
      event.stateKey,
      event.pos,
    );
    const key = cacheKey(event.roomId, event.type, event.stateKey);
    this.#db.afterRollback(() => this.#state.delete(key));
    this.#remember(key, event);
  }

  /** Replaces a content by its redacted form. */
  redact(event: StoredEvent, content: JsonObject, redactedBy: string): void {
    this.#db.run(
      "UPDATE events SET content = ?, redacted_by = ? WHERE pos = ?",
      JSON.stringify(content),
      redactedBy,
      event.pos,
    );
    this.#db.run("DELETE FROM relations WHERE pos = ?", event.pos);
    if (event.stateKey === null) return;
    const key = cacheKey(event.roomId, event.type, event.stateKey);
    this.#db.afterRollback(() => this.#state.delete(key));
    this.#state.delete(key);
  }

  byId(eventId: string): StoredEvent | undefined {
    const row = this.#db.get<EventRow>("SELECT * FROM events WHERE event_id = ?", eventId);
    return row === undefined ? undefined : toEvent(row);
  }

  /** The room's events within the range, newest first, at most `limit`. */
  backwards(roomId: string, range: Range, limit: number): StoredEvent[] {
    return this.#db
      .all<EventRow>(
        "SELECT * FROM events WHERE room_id = ? AND pos > ? AND pos <= ? ORDER BY pos DESC LIMIT ?",
        roomId,
        range.after,
        range.upTo,
        limit,
      )
      .map(toEvent);
  }

  /** The room's events within the range, oldest first, at most `limit`. */
  forwards(roomId: string, range: Range, limit: number): StoredEvent[] {
    return this.#db
      .all<EventRow>(
        "SELECT * FROM events WHERE room_id = ? AND pos > ? AND pos <= ? ORDER BY pos LIMIT ?",
        roomId,
        range.after,
        range.upTo,
        limit,
      )
      .map(toEvent);
  }

  /** The position of the room's newest event; 0 when it has none. */
  lastPos(roomId: string): number {
    const known = this.#lastPos.get(roomId);
    if (known !== undefined) return known;
    const sql = "SELECT pos FROM events WHERE room_id = ? ORDER BY pos DESC LIMIT 1";
    const pos = this.#db.get<{ pos: number }>(sql, roomId)?.pos ?? 0;
    if (this.#lastPos.size >= ROOMS_CACHE) this.#lastPos.clear();
    this.#lastPos.set(roomId, pos);
    return pos;
  }

  /** One current state event. */
  state(roomId: string, type: string, stateKey: string): StoredEvent | undefined {
    const key = cacheKey(roomId, type, stateKey);
    const cached = this.#state.get(key);
    if (cached !== undefined) {
      this.#remember(key, cached);
      return cached ?? undefined;
    }
    const row = this.#db.get<EventRow>(
      `SELECT e.* FROM current_state s JOIN events e ON e.pos = s.pos
       WHERE s.room_id = ? AND s.type = ? AND s.state_key = ?`,
      roomId,
      type,
      stateKey,
    );
    const event = row === undefined ? null : toEvent(row);
    this.#remember(key, event);
    return event ?? undefined;
  }

  /** All current state events of a room, or those of one type, in the order they were sent. */
  currentState(roomId: string, type?: string): StoredEvent[] {
    const byType = type === undefined ? "" : "AND s.type = ?";
    const params: SQLInputValue[] = type === undefined ? [roomId] : [roomId, type];
    return this.#db
      .all<EventRow>(
        `SELECT e.* FROM current_state s JOIN events e ON e.pos = s.pos WHERE s.room_id = ? ${byType} ORDER BY e.pos`,
        ...params,
      )
      .map(toEvent);
  }

  /** The state as it was at `upTo`: for each type and key the last event at or before that position. */
  stateAt(roomId: string, upTo: number): StoredEvent[] {
    return this.stateChanges(roomId, { after: 0, upTo });
  }

  /** One state event as it was at a position. */
  stateEventAt(roomId: string, type: string, stateKey: string, upTo: number): StoredEvent | undefined {
    const row = this.#db.get<EventRow>(
      "SELECT * FROM events WHERE room_id = ? AND type = ? AND state_key = ? AND pos <= ? ORDER BY pos DESC LIMIT 1",
      roomId,
      type,
      stateKey,
      upTo,
    );
    return row === undefined ? undefined : toEvent(row);
  }

  /** For each type and key that changed within the range, its last event there. */
  stateChanges(roomId: string, range: Range): StoredEvent[] {
    return this.#db
      .all<EventRow>(
        `SELECT * FROM events WHERE pos IN (SELECT MAX(pos) FROM events
         WHERE room_id = ? AND state_key IS NOT NULL AND pos > ? AND pos <= ? GROUP BY type, state_key) ORDER BY pos`,
        roomId,
        range.after,
        range.upTo,
      )
      .map(toEvent);
  }

  /** Every event that one type and key of state ever had, oldest first. */
  stateHistory(roomId: string, type: string, stateKey: string): StoredEvent[] {
    return this.#db
      .all<EventRow>(
        "SELECT * FROM events WHERE room_id = ? AND type = ? AND state_key = ? ORDER BY pos",
        roomId,
        type,
        stateKey,
      )
      .map(toEvent);
  }

  /** Membership events of any room within the range. */
  memberEvents(range: Range): StoredEvent[] {
    return this.#db
      .all<EventRow>(
        "SELECT * FROM events WHERE type = 'm.room.member' AND state_key IS NOT NULL AND pos > ? AND pos <= ? ORDER BY pos",
        range.after,
        range.upTo,
      )
      .map(toEvent);
  }

  relate(parentId: string, child: StoredEvent, relType: string): void {
    this.#db.run("INSERT INTO relations VALUES (?, ?, ?, ?)", parentId, child.pos, relType, child.type);
  }

  /** Events that relate to `parentId`, within the range. */
  relations(
    parentId: string,
    range: Range,
    filter: { relType?: string | undefined; type?: string | undefined },
    direction: "b" | "f",
    limit: number,
  ): StoredEvent[] {
    const params: SQLInputValue[] = [parentId, range.after, range.upTo];
    let where = "";
    if (filter.relType !== undefined) {
      where += " AND r.rel_type = ?";
      params.push(filter.relType);
    }
    if (filter.type !== undefined) {
      where += " AND r.type = ?";
      params.push(filter.type);
    }
    return this.#db
      .all<EventRow>(
        `SELECT e.* FROM relations r JOIN events e ON e.pos = r.pos WHERE r.parent_id = ? AND r.pos > ? AND r.pos <= ?${where}
         ORDER BY r.pos ${direction === "b" ? "DESC" : "ASC"} LIMIT ?`,
        ...params,
        limit,
      )
      .map(toEvent);
  }

  /** What one user related to `parentId` in one way, newest first. */
  relationsBy(parentId: string, relType: string, sender: string, limit: number): StoredEvent[] {
    return this.#db
      .all<EventRow>(
        `SELECT e.* FROM relations r JOIN events e ON e.pos = r.pos
         WHERE r.parent_id = ? AND r.rel_type = ? AND e.sender = ? ORDER BY r.pos DESC LIMIT ?`,
        parentId,
        relType,
        sender,
        limit,
      )
      .map(toEvent);
  }

  hasRelations(parentId: string): boolean {
    return this.#db.get("SELECT 1 FROM relations WHERE parent_id = ? LIMIT 1", parentId) !== undefined;
  }

  hasRelationBy(parentId: string, relType: string, sender: string): boolean {
    return (
      this.#db.get(
        `SELECT 1 FROM relations r JOIN events e ON e.pos = r.pos
         WHERE r.parent_id = ? AND r.rel_type = ? AND e.sender = ? LIMIT 1`,
        parentId,
        relType,
        sender,
      ) !== undefined
    );
  }

  /** Whether the sender has annotated the event with this key already, by an event of this type. */
  hasAnnotation(parentId: string, type: string, sender: string, key: string): boolean {
    return (
      this.#db.get(
        `SELECT 1 FROM relations r JOIN events e ON e.pos = r.pos
         WHERE r.parent_id = ? AND r.rel_type = 'm.annotation' AND r.type = ? AND e.sender = ?
         AND json_extract(e.content, '$."m.relates_to".key') = ? LIMIT 1`,
        parentId,
        type,
        sender,
        key,
      ) !== undefined
    );
  }

  relationCount(parentId: string, relType: string): number {
    return (
      this.#db.get<{ n: number }>(
        "SELECT COUNT(*) AS n FROM relations WHERE parent_id = ? AND rel_type = ?",
        parentId,
        relType,
      )?.n ?? 0
    );
  }

  #remember(key: string, event: StoredEvent | null): void {
    this.#state.delete(key);
    this.#state.set(key, event);
    if (this.#state.size <= STATE_CACHE) return;
    const [oldest] = this.#state.keys();
    if (oldest !== undefined) this.#state.delete(oldest);
  }
}

function cacheKey(roomId: string, type: string, stateKey: string): string {
  return `${roomId}\u0000${type}\u0000${stateKey}`;
}
