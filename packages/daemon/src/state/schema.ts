import type { Migration } from "./database.ts";
import { inboxSchema } from "./inbox.ts";
import { outboxSchema } from "./outbox.ts";
import { roomsSchema } from "./rooms.ts";
import { syncStoreSchema } from "./sync-store.ts";

/** What the Matrix layer stores. */
const matrix = [syncStoreSchema, roomsSchema, inboxSchema, outboxSchema];

/** What the pipeline stores: requests, nonces, trust and so on, one schema for each table file. */
const pipeline: string[] = [];

/** Every format of state.db. The first entry makes format 1; once released, only append. */
export const migrations: readonly Migration[] = [[...matrix, ...pipeline].join("\n")];
