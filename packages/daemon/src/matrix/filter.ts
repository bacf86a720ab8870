import { Filter, type IFilterDefinition, type IRoomEventFilter } from "matrix-js-sdk/lib/filter.js";

/** Of one room in one /sync; what is more comes by back-fill. */
export const TIMELINE_LIMIT = 100;

/**
 * The timeline: ours, and what encryption, verification, power levels and membership need. The SDK waits for
 * the echo of some of these without a time limit, so none of them may be missing.
 */
const timeline: IRoomEventFilter = {
  types: ["com.mxagent.*", "m.room.*", "m.key.verification.*", "m.reaction", "m.space.*"],
  limit: TIMELINE_LIMIT,
  lazy_load_members: false,
};

/** The filter for /sync: no presence, receipts or typing; all state, all members, all account data. */
export const syncFilter: IFilterDefinition = {
  presence: { not_types: ["*"] },
  room: {
    timeline,
    state: { lazy_load_members: false },
    ephemeral: { not_types: ["*"] },
  },
};

export function syncFilterOf(user_id: string): Filter {
  const filter = new Filter(user_id);
  // The SDK writes into the definition that it is given.
  filter.setDefinition(structuredClone(syncFilter));
  return filter;
}

/** The filter for /messages, so that back-fill sees what /sync would have shown. */
export const messagesFilter: IRoomEventFilter = { types: timeline.types ?? [], lazy_load_members: false };
