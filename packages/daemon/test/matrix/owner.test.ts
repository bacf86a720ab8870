/** What a daemon keeps when another account logs in on it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { takeOver } from "../../src/matrix/owner.ts";
import type { Database } from "../../src/state/database.ts";
import { InboxTable } from "../../src/state/inbox.ts";
import { OutboxTable } from "../../src/state/outbox.ts";
import { OwnAgents } from "../../src/state/own-agents.ts";
import { RequestTable } from "../../src/state/requests.ts";
import { RoomTable } from "../../src/state/rooms.ts";
import { SyncTable } from "../../src/state/sync-store.ts";
import { memoryLogger, openDatabase } from "./helpers.ts";

const ROOM = "!r:x";
let dir: string;
let db: Database;
let requests: RequestTable;
let agents: OwnAgents;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-owner-"));
  db = openDatabase(join(dir, "state.db"));
  requests = new RequestTable(db);
  agents = new OwnAgents(db);
  logIn("@alice:x");
  agents.put({ ...{ room_id: ROOM, agent_id: "box", kind: "", cwd: "", capabilities: [] }, state_rev: 1 }, 1);
  requests.insert({
    ...{ invocation_id: "inv_1", request_id: "req_1", kind: "exec", room_id: ROOM, agent: "builder" },
    ...{ target_user: "@bob:x", target_key_id: "k", public_key: "", legacy: false, requesting_agent: "box" },
    ...{ summary: "true", request_sha256: "", created_ts: 1, expires_ts: 2 },
  });
});
afterEach(() => {
  db.close();
  rmSync(dir, { recursive: true });
});

function logIn(user_id: string, homeserver = "https://x"): void {
  const tables = {
    sync: new SyncTable(db),
    rooms: new RoomTable(db),
    inbox: new InboxTable(db),
    outbox: new OutboxTable(db),
  };
  const owner = { user_id, device_id: "D", homeserver };
  takeOver(db, tables, owner, { clock: () => 1_000, logger: memoryLogger() });
}

test("another user answers for no agent of the one before, and awaits no answer that he asked for", () => {
  logIn("@mallory:x");
  expect(agents.list()).toEqual([]);
  expect(requests.open()).toEqual([]);
  expect(requests.get("inv_1")).toMatchObject({
    state: "lost",
    ended_ts: 1_000,
    detail: expect.stringContaining("@alice:x"),
  });
});

test("the same user, on a new device or by another address of his homeserver, goes on with both", () => {
  logIn("@alice:x", "https://matrix.x");
  expect(agents.list()).toHaveLength(1);
  expect(requests.open()).toHaveLength(1);
});
