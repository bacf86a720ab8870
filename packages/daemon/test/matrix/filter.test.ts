import type { IRoomEventFilter } from "matrix-js-sdk/lib/filter.js";
import { expect, test } from "vitest";
import { messagesFilter, syncFilter } from "../../src/matrix/filter.ts";

/** Whether events of the type pass (Client-Server API, "Filtering"). */
function passes({ types = ["*"], not_types = [] }: IRoomEventFilter, type: string): boolean {
  const is = (pattern: string) =>
    pattern.endsWith("*") ? type.startsWith(pattern.slice(0, -1)) : pattern === type;
  return types.some(is) && !not_types.some(is);
}

test.each([
  "m.room.member",
  "m.room.encryption",
  "m.room.history_visibility",
  "m.room.power_levels",
  "m.room.encrypted",
  "m.room.message",
  "com.mxagent.exec.request.v1",
])("neither /sync nor back-fill leaves out %s, whose echo the SDK or a request waits for", (type) => {
  const { timeline = {}, state = {} } = syncFilter.room ?? {};
  for (const filter of [timeline, state, messagesFilter]) expect(passes(filter, type)).toBe(true);
});

test("/sync leaves out no account data, and no member", () => {
  expect(passes(syncFilter.account_data ?? {}, "m.secret_storage.default_key")).toBe(true);
  expect(passes(syncFilter.room?.account_data ?? {}, "m.tag")).toBe(true);
  for (const filter of [syncFilter.room?.timeline, syncFilter.room?.state, messagesFilter])
    expect(filter?.lazy_load_members).toBe(false);
});

test("/sync leaves out what nothing here reads", () => {
  for (const filter of [syncFilter.presence, syncFilter.room?.ephemeral])
    expect(passes((filter ?? {}) as IRoomEventFilter, "m.typing")).toBe(false);
});
