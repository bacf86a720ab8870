import type { ISavedSync } from "matrix-js-sdk/lib/store/index.js";
import { MemoryStore } from "matrix-js-sdk/lib/store/memory.js";
import type { IRooms, IStateEvent, ISyncResponse } from "matrix-js-sdk/lib/sync-accumulator.js";
import type { RoomTable, StateRow } from "../state/rooms.ts";
import type { SyncTable } from "../state/sync-store.ts";

export interface DurableSyncStoreOptions {
  sync: SyncTable;
  rooms: RoomTable;
  /** Commits the answer to /sync that ended with this position; what it throws ends the session. */
  commit: (next_batch: string) => Promise<void>;
}

/**
 * The store that the SDK's sync loop works on. The SDK moves its position before it has done anything with a
 * response; here the position is what was committed, together with all that came before it, and nothing else.
 */
export class DurableSyncStore extends MemoryStore {
  readonly #options: DurableSyncStoreOptions;

  constructor(options: DurableSyncStoreOptions) {
    super();
    this.#options = options;
  }

  override setSyncToken(): void {}

  override getSyncToken(): string | null {
    return this.#options.sync.position();
  }

  override getSavedSyncToken(): Promise<string | null> {
    return Promise.resolve(this.#options.sync.position());
  }

  /** Awaited by the sync loop before the next /sync. */
  override setSyncData(data: ISyncResponse): Promise<void> {
    return this.#options.commit(data.next_batch);
  }

  override isNewlyCreated(): Promise<boolean> {
    return Promise.resolve(this.#options.sync.position() === null);
  }

  /** The committed state as the answer to an initial /sync: all rooms with their state, no timelines. */
  override getSavedSync(): Promise<ISavedSync | null> {
    const nextBatch = this.#options.sync.position();
    if (nextBatch === null) return Promise.resolve(null);
    const roomsData: IRooms = { join: {}, invite: {}, leave: {}, knock: {} };
    for (const { room_id, membership } of this.#options.rooms.list()) {
      const events = this.#options.rooms.state(room_id).map((event) => stateEvent(room_id, event));
      if (membership === "join") roomsData.join[room_id] = joinedRoom(events);
      else if (membership === "invite") roomsData.invite[room_id] = { invite_state: { events } };
    }
    return Promise.resolve({
      nextBatch,
      roomsData,
      accountData: this.#options.sync
        .accountData()
        .map(({ type, content }) => ({ type, content: { ...(content instanceof Object ? content : {}) } })),
    });
  }
}

function joinedRoom(events: IStateEvent[]): IRooms["join"][string] {
  return {
    summary: { "m.heroes": [] },
    "org.matrix.msc4222.state_after": { events },
    timeline: { events: [], prev_batch: null },
    ephemeral: { events: [] },
    account_data: { events: [] },
    unread_notifications: {},
  };
}

function stateEvent(room_id: string, event: StateRow): IStateEvent {
  return { ...event, content: { ...(event.content instanceof Object ? event.content : {}) }, room_id };
}
