import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import type { IncomingEvent, Transport } from "../../src/matrix/api.ts";
import { type Decrypt, Delivery } from "../../src/matrix/delivery.ts";
import type { Database } from "../../src/state/database.ts";
import { InboxTable, MAX_ATTEMPTS } from "../../src/state/inbox.ts";
import { memoryLogger, openDatabase, REQUEST } from "./helpers.ts";

let dir: string;
let db: Database;
let inbox: InboxTable;
let delivery: Delivery | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-delivery-"));
  db = openDatabase(join(dir, "state.db"));
  inbox = new InboxTable(db);
});
afterEach(async () => {
  await delivery?.close();
  delivery = undefined;
  db.close();
  rmSync(dir, { recursive: true });
});

const plain: Transport = { encrypted: false };

function arrive(n: number, transport: Transport | null = plain): void {
  inbox.add({
    kind: "timeline",
    room_id: "!r:x",
    event_id: `$${n}`,
    sender: "@you:x",
    type: transport ? REQUEST : "m.room.encrypted",
    state_key: null,
    content: JSON.stringify({ n }),
    origin_server_ts: 1,
    backfilled: false,
    transport: transport && JSON.stringify(transport),
    received_ts: 1,
  });
}

function deliver(
  onEvent: (event: IncomingEvent) => Promise<void>,
  decrypt: Decrypt = async () => "no key",
  onRequests?: (events: readonly IncomingEvent[]) => Promise<void>,
): Delivery {
  delivery = new Delivery({ inbox, onEvent, onRequests, decrypt, logger: memoryLogger(), retryMs: 1 });
  delivery.kick();
  return delivery;
}

test("events come one after another, in order, and the next only when the one before is done", async () => {
  for (let n = 1; n <= 20; n++) arrive(n);
  const seen: string[] = [];
  let inWork = 0;
  deliver(async ({ event_id }) => {
    expect(++inWork).toBe(1);
    await Promise.resolve();
    seen.push(event_id ?? "");
    inWork--;
  });
  await eventually(() => inbox.count("pending") === 0);
  expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => `$${n + 1}`));
});

test("an event whose work fails comes again, and when it fails each time it is set aside for the others", async () => {
  const seen: string[] = [];
  const started = deliver(async ({ event_id }) => {
    seen.push(event_id ?? "");
    if (event_id === "$1") throw new Error("no");
  });
  arrive(1);
  arrive(2);
  started.kick();
  await eventually(() => inbox.count("pending") === 0);
  expect(seen).toEqual([...Array.from({ length: MAX_ATTEMPTS }, () => "$1"), "$2"]);
  expect(inbox.count("set_aside")).toBe(1);
});

test("an event that ends the process each time is set aside, one that only waited meanwhile is not", async () => {
  arrive(1);
  arrive(2);
  const logger = memoryLogger();
  const decrypt: Decrypt = async () => "no key";
  for (let start = 0; start < 2 * MAX_ATTEMPTS; start++) {
    new Delivery({ inbox, onEvent: async () => undefined, decrypt, logger });
  }
  for (let start = 0; start < MAX_ATTEMPTS; start++) {
    const inWork = Promise.withResolvers<void>();
    const dying = new Delivery({
      inbox,
      onEvent: () => {
        inWork.resolve();
        return new Promise(() => undefined);
      },
      decrypt,
      logger,
    });
    dying.kick();
    await inWork.promise;
  }
  const seen: string[] = [];
  deliver(async ({ event_id }) => {
    seen.push(event_id ?? "");
  });
  await eventually(() => inbox.count("pending") === 0);
  expect(seen).toEqual(["$2"]);
  expect(inbox.count("set_aside")).toBe(1);
});

test("what can't be decrypted does not hold up the others, and comes when it can be", async () => {
  arrive(1, null);
  arrive(2);
  let key = false;
  const seen: string[] = [];
  const decrypt: Decrypt = async (row) =>
    key ? { type: REQUEST, content: JSON.parse(row.content), transport: plain } : "no key";
  const started = deliver(async ({ event_id }) => {
    seen.push(event_id ?? "");
  }, decrypt);
  await eventually(() => inbox.count("pending") === 0);
  expect(seen).toEqual(["$2"]);
  expect(inbox.count("undecryptable")).toBe(1);
  key = true;
  started.keysArrived();
  await eventually(() => seen.length === 2);
  await eventually(() => inbox.count("undecryptable") === 0);
});

test("a decrypted event of another type is nobody's business", async () => {
  arrive(1, null);
  const seen: string[] = [];
  const chat: Decrypt = async () => ({ type: "m.room.message", content: {}, transport: plain });
  deliver(async ({ type }) => {
    seen.push(type);
  }, chat);
  await eventually(() => inbox.count("pending") === 0);
  expect(seen).toEqual([]);
});

test("an event that the encryption stumbles over does not hold up the others", async () => {
  arrive(1, null);
  arrive(2);
  const seen: string[] = [];
  const stumbles: Decrypt = () => Promise.reject(new Error("unreachable executed"));
  deliver(async ({ event_id }) => {
    seen.push(event_id ?? "");
  }, stumbles);
  await eventually(() => inbox.count("pending") === 0);
  expect(seen).toEqual(["$2"]);
  expect(inbox.count("undecryptable")).toBe(1);
});

const STATE = "com.mxagent.agent.v1";

function arriveOf(type: string, n: number): void {
  arrive(n);
  db.run("UPDATE inbox SET type = ? WHERE event_id = ?", type, `$${n}`);
}

test("requests that follow one another come together; what stands between them keeps its place", async () => {
  for (const n of [1, 2, 3]) arrive(n + 100);
  const seen: string[][] = [];
  const started = deliver(
    async ({ event_id }) => void seen.push([event_id ?? ""]),
    undefined,
    async (events) => void seen.push(events.map(({ event_id }) => event_id ?? "")),
  );
  await eventually(() => inbox.count("pending") === 0);
  // What an earlier process left comes one by one: it may have ended that one.
  expect(seen.splice(0)).toEqual([["$101"], ["$102"], ["$103"]]);
  for (const n of [1, 2]) arrive(n);
  arriveOf(STATE, 3);
  for (let n = 4; n <= 24; n++) arrive(n);
  started.kick();
  await eventually(() => inbox.count("pending") === 0);
  const numbers = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => `$${from + i}`);
  expect(seen).toEqual([["$1", "$2"], ["$3"], numbers(4, 19), numbers(20, 24)]);
});

test("requests that fail together are tried by themselves, and only the one that fails is set aside", async () => {
  const seen: string[] = [];
  let together = 0;
  const started = deliver(
    async ({ event_id }) => {
      if (event_id === "$2") throw new Error("no");
      seen.push(event_id ?? "");
    },
    undefined,
    async () => {
      together++;
      throw new Error("one of them");
    },
  );
  for (const n of [1, 2, 3]) arrive(n);
  started.kick();
  await eventually(() => inbox.count("pending") === 0);
  expect(together).toBe(1);
  expect(seen).toEqual(["$1", "$3"]);
  expect(inbox.count("set_aside")).toBe(1);
});
