import type { Migration } from "./database.ts";
import { executionsGranted, executionsSchema } from "./executions.ts";
import { inboxSchema } from "./inbox.ts";
import { invitesSchema } from "./invites.ts";
import { noncesSchema } from "./nonces.ts";
import { outboxSchema } from "./outbox.ts";
import { ownAgentsElsewhere, ownAgentsSchema } from "./own-agents.ts";
import { peerHeadsSchema } from "./peer-heads.ts";
import { requestsSchema } from "./requests.ts";
import { roomsSchema } from "./rooms.ts";
import { settingsSchema } from "./settings.ts";
import { syncStoreSchema } from "./sync-store.ts";
import { trustSchema, trustSuccession } from "./trust.ts";

/** What the Matrix layer stores. */
const matrix = [syncStoreSchema, roomsSchema, inboxSchema, outboxSchema];

/** What the pipeline stores: requests, nonces, trust and so on, one schema for each table file. */
const pipeline = [
  settingsSchema,
  trustSchema,
  noncesSchema,
  ownAgentsSchema,
  executionsSchema,
  requestsSchema,
  invitesSchema,
];

/** Every format of state.db. The first entry makes format 1; once released, only append. */
export const migrations: readonly Migration[] = [
  [...matrix, ...pipeline].join("\n"),
  [peerHeadsSchema, trustSuccession].join("\n"),
  [executionsGranted, ownAgentsElsewhere].join("\n"),
];
