import type { Database } from "../state/database.ts";
import type { InboxTable } from "../state/inbox.ts";
import type { OutboxTable } from "../state/outbox.ts";
import { OwnAgents } from "../state/own-agents.ts";
import { RequestTable } from "../state/requests.ts";
import type { RoomTable } from "../state/rooms.ts";
import type { SyncOwner, SyncTable } from "../state/sync-store.ts";
import type { Clock, Logger } from "./types.ts";

interface Tables {
  sync: SyncTable;
  rooms: RoomTable;
  inbox: InboxTable;
  outbox: OutboxTable;
}

/**
 * Makes the stored state that of this account. The same user on the same homeserver goes on where it was;
 * for another one, position, rooms, inbox and outbox mean nothing, and are dropped. Another user does not answer for
 * the agents of the one before, and what that one asked for is answered to nobody.
 */
export function takeOver(
  db: Database,
  tables: Tables,
  owner: SyncOwner,
  { clock, logger }: { clock: Clock; logger: Logger },
): void {
  const { sync, rooms, inbox, outbox } = tables;
  db.transaction(() => {
    const before = sync.owner();
    if (before?.user_id === owner.user_id && before.homeserver === owner.homeserver) {
      sync.setDevice(owner.device_id);
      return;
    }
    if (before) {
      logger.warn(
        { user_id: before.user_id, homeserver: before.homeserver, outbox: outbox.count() },
        "another account: what was stored for the one before is dropped",
      );
    }
    sync.reset(owner);
    rooms.reset();
    inbox.clear();
    outbox.clear();
    if (before && before.user_id !== owner.user_id) dropUser(db, before.user_id, clock());
  });
}

function dropUser(db: Database, user_id: string, now: number): void {
  const requests = new RequestTable(db);
  new OwnAgents(db).clear();
  const detail = `${user_id}, who asked for it, is not logged in here any more`;
  for (const { invocation_id } of requests.open())
    requests.setLost(invocation_id, "MX_NO_ANSWER", detail, now);
}
