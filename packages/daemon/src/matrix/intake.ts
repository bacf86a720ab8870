import { failpoint } from "@mx-agent/base";
import { EventTypes } from "@mx-agent/protocol";
import type { Database } from "../state/database.ts";
import type { InboxTable } from "../state/inbox.ts";
import type { RoomTable } from "../state/rooms.ts";
import type { SyncTable } from "../state/sync-store.ts";
import type { IncomingEvent, Transport } from "./api.ts";
import { type JoinedRoom, parseSyncResponse, type RawEvent, type SyncBatch } from "./sync-response.ts";
import { type Clock, OUR_TYPES } from "./types.ts";

export interface ToDeviceMessage {
  type: string;
  sender: string;
  content: unknown;
}

export interface IntakeOptions {
  db: Database;
  sync: SyncTable;
  rooms: RoomTable;
  inbox: InboxTable;
  clock: Clock;
  user_id: string;
  /** A to-device message that is not stored; called in order, once the position is committed. */
  onPassing(event: IncomingEvent): void;
}

/**
 * To-device messages that a restart may lose: what they belong to lives in memory, and their numbers let either
 * side ask again. A commit for each would be the speed limit of every stream.
 */
const PASSING: ReadonlySet<string> = new Set([
  EventTypes.streamChunk,
  EventTypes.streamAck,
  EventTypes.streamResume,
  EventTypes.execStdin,
  EventTypes.ping,
  EventTypes.pong,
]);

/**
 * Whether an answer to /sync brought messages to this device at most. Those are copies of what is in the timeline as
 * well, or are asked for again (PROTOCOL.md, "To-device events"): they need not survive the loss of the machine's power.
 */
function hasOnlyToDevice({ account_data, joined, invited, left }: SyncBatch): boolean {
  return account_data.length + joined.length + invited.length + left.length === 0;
}

/** What a room keeps of its state once we have left it, so that it still has a name. */
const KEPT_AFTER_LEAVING = new Set(["m.room.name", "m.room.canonical_alias"]);
const PRUNE_EVERY_MS = 3_600_000;
/** An event may be 64 KiB in all; what a server shows beyond that is none. */
const MAX_CONTENT_CHARACTERS = 128 * 1024;

/**
 * Takes in what /sync brings: events, state, decrypted to-device messages, markers of gaps and the position,
 * committed together. The position alone decides what the server forgets, so nothing may come after it.
 */
export class Intake {
  readonly #options: IntakeOptions;
  #batch: SyncBatch | undefined;
  #toDevice: Promise<ToDeviceMessage & { transport: Transport }>[] = [];
  #pruned = Number.NEGATIVE_INFINITY;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Reads the body of an answer to /sync, to be committed once the SDK is through with it; why not, otherwise. */
  read(body: string): string | undefined {
    const parsed = parseSyncResponse(body);
    if (typeof parsed === "string") return parsed;
    this.#batch = parsed;
    this.#toDevice = [];
    return undefined;
  }

  /** A to-device message of the answer that was read last, as the SDK decrypted it. */
  addToDevice(message: ToDeviceMessage, transport: Promise<Transport>): void {
    if (!message.type.startsWith(OUR_TYPES)) return;
    this.#toDevice.push(transport.then((known) => ({ ...message, transport: known })));
  }

  /** A message that this device sent to itself, and that no /sync brings. */
  take(message: ToDeviceMessage & { transport: Transport }): void {
    if (PASSING.has(message.type)) this.#pass(message);
    else this.#options.db.transaction(() => this.#storeToDevice(message, this.#options.clock()));
  }

  /** Commits what was read; answers the rooms that it changed. */
  async commit(next_batch: string): Promise<SyncBatch> {
    const batch = this.#batch;
    if (batch?.next_batch !== next_batch)
      throw new Error("the SDK is done with another /sync than the last one");
    const toDevice = await Promise.all(this.#toDevice);
    const { db, sync } = this.#options;
    failpoint("sync.before_commit");
    const commit = () => {
      const since = sync.position();
      const now = this.#options.clock();
      for (const { type, content } of batch.account_data) sync.setAccountData(type, content ?? {});
      for (const message of toDevice) if (!PASSING.has(message.type)) this.#storeToDevice(message, now);
      for (const room of batch.joined) this.#storeJoined(room, since, now);
      for (const room of batch.invited) this.#storeInvited(room.room_id, room.state, now);
      for (const room_id of batch.left) this.#storeLeft(room_id);
      sync.setPosition(next_batch);
      this.#prune(now);
    };
    if (hasOnlyToDevice(batch)) db.passingTransaction(commit);
    else db.transaction(commit);
    failpoint("sync.after_commit");
    for (const message of toDevice) if (PASSING.has(message.type)) this.#pass(message);
    this.#batch = undefined;
    this.#toDevice = [];
    return batch;
  }

  /** Stores events that /messages brought, oldest first, and closes the gap. */
  commitGap(gap: { id: number; room_id: string }, events: RawEvent[]): void {
    failpoint("backfill.before_commit");
    this.#options.db.transaction(() => {
      const now = this.#options.clock();
      // Old state is no news: what is in force came with the /sync that had the gap.
      for (const event of events) {
        if (event.state_key === undefined) this.#storeEvent(gap.room_id, event, true, now);
      }
      this.#options.sync.closeGap(gap.id);
    });
    failpoint("backfill.after_commit");
  }

  #storeJoined(room: JoinedRoom, since: string | null, now: number): void {
    const { rooms, sync } = this.#options;
    const { room_id, timeline } = room;
    const known = rooms.get(room_id)?.membership === "join";
    if (!known) {
      rooms.clearState(room_id);
      rooms.put({ room_id, membership: "join", inviter: null });
    }
    this.#storeState(room_id, room.state, now);
    if (known && since !== null && room.limited && room.prev_batch !== null) {
      sync.addGap({ room_id, prev_batch: room.prev_batch, since });
    }
    const inTimeline = new Set(timeline.map((event) => event.event_id));
    const before = room.state.filter((event) => !inTimeline.has(event.event_id));
    for (const event of [...before, ...timeline]) this.#storeEvent(room_id, event, false, now);
  }

  #storeInvited(room_id: string, state: RawEvent[], now: number): void {
    const { rooms, user_id } = this.#options;
    const invitation = state.find((event) => event.type === "m.room.member" && event.state_key === user_id);
    rooms.clearState(room_id);
    rooms.put({ room_id, membership: "invite", inviter: invitation?.sender ?? null });
    this.#storeState(room_id, state, now);
  }

  #storeLeft(room_id: string): void {
    const { rooms } = this.#options;
    if (rooms.get(room_id) === undefined) return;
    const kept = rooms.state(room_id).filter((event) => KEPT_AFTER_LEAVING.has(event.type));
    rooms.clearState(room_id);
    for (const event of kept) rooms.setState(room_id, event);
    rooms.put({ room_id, membership: "leave", inviter: null });
  }

  #storeState(room_id: string, state: RawEvent[], now: number): void {
    for (const { type, state_key, event_id, sender, content, origin_server_ts } of state) {
      if (state_key === undefined) continue;
      this.#options.rooms.setState(room_id, { type, state_key, event_id, sender, content, origin_server_ts });
      if (type === "m.room.encryption" && state_key === "")
        this.#options.rooms.rememberEncrypted(room_id, content, now);
    }
  }

  #storeEvent(room_id: string, event: RawEvent, backfilled: boolean, now: number): void {
    const encrypted = event.type === "m.room.encrypted" && event.state_key === undefined;
    if (!encrypted && !event.type.startsWith(OUR_TYPES)) return;
    const content = JSON.stringify(event.content);
    if (content.length > MAX_CONTENT_CHARACTERS) return;
    this.#options.inbox.add({
      kind: "timeline",
      room_id,
      event_id: event.event_id,
      sender: event.sender,
      type: event.type,
      state_key: event.state_key ?? null,
      content,
      origin_server_ts: event.origin_server_ts,
      backfilled,
      transport: encrypted ? null : JSON.stringify({ encrypted: false } satisfies Transport),
      received_ts: now,
    });
  }

  #storeToDevice(message: ToDeviceMessage & { transport: Transport }, now: number): void {
    this.#options.inbox.add({
      kind: "to_device",
      room_id: null,
      event_id: null,
      sender: message.sender,
      type: message.type,
      state_key: null,
      content: JSON.stringify(message.content ?? {}),
      origin_server_ts: null,
      backfilled: false,
      transport: JSON.stringify(message.transport),
      received_ts: now,
    });
  }

  #pass({ type, sender, content, transport }: ToDeviceMessage & { transport: Transport }): void {
    this.#options.onPassing({
      kind: "to_device",
      inbox_id: 0,
      room_id: null,
      event_id: null,
      sender,
      type,
      content: content ?? {},
      origin_server_ts: null,
      backfilled: false,
      transport,
      received_ts: this.#options.clock(),
    });
  }

  #prune(now: number): void {
    if (now - this.#pruned < PRUNE_EVERY_MS) return;
    this.#pruned = now;
    this.#options.inbox.prune(now);
  }
}
