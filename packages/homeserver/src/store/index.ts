import { AccountStore } from "./accounts.ts";
import { BackupStore } from "./backup.ts";
import { ClientDataStore } from "./client-data.ts";
import { CryptoStore } from "./crypto.ts";
import { Database, type DatabaseLocation } from "./database.ts";
import { EventStore } from "./events.ts";
import { MediaStore } from "./media.ts";
import { OneTimeKeyStore } from "./one-time-keys.ts";
import { Positions } from "./positions.ts";
import { RoomStore } from "./rooms.ts";
import { ToDeviceStore } from "./to-device.ts";

/** Everything that is kept, by area. Whoever opened it closes it, through `db`. */
export interface Store {
  readonly db: Database;
  readonly positions: Positions;
  readonly accounts: AccountStore;
  readonly events: EventStore;
  readonly rooms: RoomStore;
  readonly clientData: ClientDataStore;
  readonly crypto: CryptoStore;
  readonly oneTimeKeys: OneTimeKeyStore;
  readonly toDevice: ToDeviceStore;
  readonly backups: BackupStore;
  readonly media: MediaStore;
}

export function openStore(location: DatabaseLocation): Store {
  const db = new Database(location);
  return {
    db,
    positions: new Positions(db),
    accounts: new AccountStore(db),
    events: new EventStore(db),
    rooms: new RoomStore(db),
    clientData: new ClientDataStore(db),
    crypto: new CryptoStore(db),
    oneTimeKeys: new OneTimeKeyStore(db),
    toDevice: new ToDeviceStore(db),
    backups: new BackupStore(db),
    media: new MediaStore(db),
  };
}
