/** What whoever waits for a request is told when its time is over. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Caller } from "../../src/request/caller.ts";
import type { Database } from "../../src/state/database.ts";
import { RequestTable } from "../../src/state/requests.ts";
import { openDatabase } from "../matrix/helpers.ts";

const NOW = 1_800_000_000_000;
const ROOM = "!r:x";
let dir: string;
let db: Database;
let requests: RequestTable;
let caller: Caller;
let unanswered: string[];

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  dir = mkdtempSync(join(tmpdir(), "mx-outcome-"));
  db = openDatabase(join(dir, "state.db"));
  requests = new RequestTable(db);
  unanswered = [];
  caller = new Caller({
    ...{ db, requests, now: Date.now, indexDir: dir },
    outbox: { onRefused: () => undefined },
    onUnanswered: (room_id: string) => unanswered.push(room_id),
  } as unknown as ConstructorParameters<typeof Caller>[0]);
  requests.insert({
    ...{ invocation_id: "inv_1", request_id: "req_1", kind: "exec", room_id: ROOM, agent: "builder" },
    ...{ target_user: "@bob:x", target_key_id: "k", public_key: "", legacy: true, requesting_agent: "box" },
    ...{ summary: "true", request_sha256: "", created_ts: NOW, expires_ts: NOW + 120_000 },
  });
});
afterEach(() => {
  vi.useRealTimers();
  db.close();
  rmSync(dir, { recursive: true });
});

function wait() {
  const pending = caller.attach(requests.get("inv_1") ?? expect.fail("no request"), async () => undefined);
  const outcome = caller.outcome(pending);
  outcome.catch(() => undefined);
  return { pending, outcome };
}

test("what nobody answered in its time is lost, and what is sent into that room from then on gets new keys", async () => {
  const { outcome } = wait();
  await vi.advanceTimersByTimeAsync(140_000);
  await expect(outcome).rejects.toMatchObject({ code: "MX_NO_ANSWER" });
  expect(requests.get("inv_1")).toMatchObject({ state: "lost" });
  expect(unanswered).toEqual([ROOM]);
});

test.each([10_000, 126_000])(
  "what has ended, as is heard after %i ms, is not lost for output that does not come",
  async (after) => {
    const { pending, outcome } = wait();
    await vi.advanceTimersByTimeAsync(after);
    requests.setFinished("inv_1", "{}", null, Date.now());
    await vi.advanceTimersByTimeAsync(300_000);
    expect(requests.get("inv_1")).toMatchObject({ state: "ended" });
    const settled = { type: "rejected", reason: "x", detail: null, origin: "remote" } as const;
    pending.settle(settled);
    expect(await outcome).toEqual(settled);
    expect(unanswered).toEqual([]);
  },
);
