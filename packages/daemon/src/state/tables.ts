import type { Database } from "./database.ts";
import { ExecutionTable } from "./executions.ts";
import { InviteTable } from "./invites.ts";
import { NonceTable } from "./nonces.ts";
import { OwnAgents } from "./own-agents.ts";
import { PeerHeads } from "./peer-heads.ts";
import { RequestTable } from "./requests.ts";
import { Settings } from "./settings.ts";
import { TrustTable } from "./trust.ts";

/** The pipeline's tables, on one database. */
export interface Tables {
  db: Database;
  settings: Settings;
  executions: ExecutionTable;
  requests: RequestTable;
  nonces: NonceTable;
  ownAgents: OwnAgents;
  trust: TrustTable;
  invites: InviteTable;
  peerHeads: PeerHeads;
}

export function openTables(db: Database, now: () => number): Tables {
  return {
    db,
    settings: new Settings(db),
    executions: new ExecutionTable(db),
    requests: new RequestTable(db),
    nonces: new NonceTable(db),
    ownAgents: new OwnAgents(db),
    trust: new TrustTable(db, now),
    invites: new InviteTable(db),
    peerHeads: new PeerHeads(db),
  };
}
