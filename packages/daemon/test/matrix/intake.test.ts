import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { IncomingEvent } from "../../src/matrix/api.ts";
import { Intake } from "../../src/matrix/intake.ts";
import { parseSyncResponse } from "../../src/matrix/sync-response.ts";
import type { Database } from "../../src/state/database.ts";
import { type InboxRow, InboxTable } from "../../src/state/inbox.ts";
import { RoomTable } from "../../src/state/rooms.ts";
import { SyncTable } from "../../src/state/sync-store.ts";
import { openDatabase, REQUEST } from "./helpers.ts";

const ME = "@me:x";
const ROOM = "!r:x";
let dir: string;
let db: Database;
let tables: { sync: SyncTable; rooms: RoomTable; inbox: InboxTable };
let intake: Intake;
let passed: IncomingEvent[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-intake-"));
  db = openDatabase(join(dir, "state.db"));
  tables = { sync: new SyncTable(db), rooms: new RoomTable(db), inbox: new InboxTable(db) };
  tables.sync.reset({ user_id: ME, device_id: "D", homeserver: "https://x" });
  passed = [];
  intake = new Intake({
    db,
    ...tables,
    clock: () => 1_000,
    user_id: ME,
    onPassing: (event) => passed.push(event),
  });
});
afterEach(() => {
  db.close();
  rmSync(dir, { recursive: true });
});

let ids = 0;
const event = (type: string, content: object, rest: object = {}) => ({
  type,
  content,
  sender: "@you:x",
  event_id: `$${++ids}`,
  origin_server_ts: 5,
  ...rest,
});
const state = (type: string, content: object, state_key = "") => event(type, content, { state_key });

async function sync(next_batch: string, join: object): Promise<void> {
  expect(intake.read(JSON.stringify({ next_batch, rooms: { join: { [ROOM]: join } } }))).toBeUndefined();
  await intake.commit(next_batch);
}

function inbox() {
  const rows: InboxRow[] = [];
  for (let row = tables.inbox.next("pending"); row; row = tables.inbox.next("pending", row.id))
    rows.push(row);
  return rows;
}

test("events, state and position are committed together, or not at all", async () => {
  await sync("s1", { state: { events: [state("m.room.name", { name: "one" })] } });
  db.run("DROP TABLE gaps");
  const join = {
    timeline: {
      events: [event(REQUEST, {}), state("m.room.name", { name: "two" })],
      limited: true,
      prev_batch: "p",
    },
  };
  await expect(sync("s2", join)).rejects.toThrow("gaps");
  expect(tables.sync.position()).toBe("s1");
  expect(inbox()).toEqual([]);
  expect(tables.rooms.stateEvent(ROOM, "m.room.name", "")?.content).toEqual({ name: "one" });
});

test("a reaction, which the homeserver can forge in any room, is taken in by nobody, and so grants nothing", async () => {
  const relation = { rel_type: "m.annotation", event_id: "$request", key: "✅" };
  await sync("s1", {
    state: { events: [state("m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2" })] },
    timeline: { events: [event("m.reaction", { "m.relates_to": relation })] },
  });
  expect(inbox()).toEqual([]);
});

test("an event that comes twice is stored once, also after it is done", async () => {
  const twice = event(REQUEST, { n: 1 });
  await sync("s1", { timeline: { events: [twice] } });
  await sync("s2", { timeline: { events: [twice] } });
  expect(inbox()).toHaveLength(1);
  for (const row of inbox()) tables.inbox.done(row.id);
  intake.commitGap({ id: 1, room_id: ROOM }, [{ ...twice }]);
  expect(inbox()).toEqual([]);
});

test("a limited timeline of a known room leaves a gap to be filled, and that of a new room does not", async () => {
  await sync("s1", { timeline: { events: [], limited: true, prev_batch: "p1" } });
  expect(tables.sync.gaps()).toEqual([]);
  await sync("s2", { timeline: { events: [], limited: true, prev_batch: "p2" } });
  expect(tables.sync.gaps()).toMatchObject([{ room_id: ROOM, prev_batch: "p2", since: "s1" }]);
});

test("where the server gives the state after the timeline, older state in the timeline does not count", async () => {
  const older = state("m.room.name", { name: "older" });
  const newer = state("m.room.name", { name: "newer" });
  await sync("s1", {
    timeline: { events: [newer, older] },
    "org.matrix.msc4222.state_after": { events: [newer] },
  });
  expect(tables.rooms.stateEvent(ROOM, "m.room.name", "")?.content).toEqual({ name: "newer" });
  await sync("s2", { timeline: { events: [state("m.room.name", { name: "newest" })] } });
  expect(tables.rooms.stateEvent(ROOM, "m.room.name", "")?.content).toEqual({ name: "newest" });
});

test("that a room is encrypted is remembered when its state is gone, and when another account logs in", async () => {
  await sync("s1", { state: { events: [state("m.room.encryption", { algorithm: "none of yours" })] } });
  intake.read(JSON.stringify({ next_batch: "s2", rooms: { leave: { [ROOM]: {} } } }));
  await intake.commit("s2");
  expect(tables.rooms.stateEvent(ROOM, "m.room.encryption", "")).toBeUndefined();
  tables.rooms.reset();
  expect(tables.rooms.isEncrypted(ROOM)).toBe(true);
});

test("__proto__ is a key like any other, and content arrives as it was", async () => {
  const body = `{"next_batch":"s1","rooms":{"join":{"${ROOM}":{"timeline":{"events":[{"type":"${REQUEST}","sender":"@you:x","event_id":"$p","origin_server_ts":1,"content":{"__proto__":{"a":1},"b":[1.0,"\\ud800"]}}]}}}}}`;
  intake.read(body);
  await intake.commit("s1");
  const content = JSON.parse(inbox()[0]?.content ?? "");
  expect(Object.keys(content)).toEqual(["__proto__", "b"]);
});

test("whatever a server answers is read or refused, and never throws", async () => {
  const json = fc.jsonValue({ maxDepth: 6 });
  const shaped = fc.record({
    next_batch: fc.oneof(fc.string({ minLength: 1 }), json),
    account_data: fc.oneof(json, fc.record({ events: fc.array(json) })),
    rooms: fc.oneof(
      json,
      fc.record({
        join: fc.dictionary(
          fc.string(),
          fc.oneof(json, fc.record({ timeline: fc.record({ events: fc.array(json) }), state: json })),
        ),
        invite: fc.oneof(json, fc.dictionary(fc.string(), json)),
        leave: json,
      }),
    ),
  });
  const property = fc.asyncProperty(fc.oneof(shaped, json), async (value) => {
    const body = JSON.stringify(value);
    const parsed = parseSyncResponse(body);
    if (typeof parsed === "string") return;
    intake.read(body);
    await intake.commit(parsed.next_batch);
    expect(tables.sync.position()).toBe(parsed.next_batch);
  });
  await fc.assert(property, { numRuns: 300 });
});

test("a stream's messages are handed on once the position is committed, and are not stored", async () => {
  intake.read(JSON.stringify({ next_batch: "s1" }));
  const plain = Promise.resolve({ encrypted: false } as const);
  intake.addToDevice({ type: "com.mxagent.stream.chunk.v1", sender: "@you:x", content: { seq: 0 } }, plain);
  intake.addToDevice({ type: "com.mxagent.exec.finished.v1", sender: "@you:x", content: {} }, plain);
  expect(passed).toEqual([]);
  await intake.commit("s1");
  expect(passed.map(({ type, content }) => [type, content])).toEqual([
    ["com.mxagent.stream.chunk.v1", { seq: 0 }],
  ]);
  expect(tables.inbox.next("pending")).toMatchObject({ type: "com.mxagent.exec.finished.v1" });
});
