import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunState } from "@mx-agent/runner";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Retention } from "../../src/retention.ts";
import { nothingRan } from "../../src/run/nothing-ran.ts";
import { Database } from "../../src/state/database.ts";
import { ExecutionTable } from "../../src/state/executions.ts";
import { RequestTable } from "../../src/state/requests.ts";
import { migrations } from "../../src/state/schema.ts";

let dir: string;
let db: Database;
let executions: ExecutionTable;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "mx-retention-"));
  db = new Database({ file: join(dir, "state.db"), migrations, version: "1.0.0" });
  executions = new ExecutionTable(db);
});
afterEach(() => {
  db.close();
  rmSync(dir, { recursive: true });
});

function ran(created_ts: number, stdout_bytes: number | null, ended_ts = created_ts): void {
  const run_id = `run-${created_ts}`;
  executions.insert({
    run_id,
    invocation_id: `inv-${created_ts}`,
    request_id: `req-${created_ts}`,
    kind: "exec",
    room_id: "!r:x",
    event_id: `$${created_ts}`,
    sender: "@you:x",
    key_id: "key",
    requesting_agent: "laptop",
    target_agent: "builder",
    summary: "true",
    event: "{}",
    state: "running",
    created_ts,
  });
  if (stdout_bytes !== null)
    executions.setEnded(run_id, { ...nothingRan("interrupted", 1), stdout_bytes }, ended_ts);
}

test("runs beyond a number, and runs whose output comes on top of what may be kept, are the oldest ones", () => {
  for (let n = 1; n <= 10; n++) ran(n, 100);
  ran(11, null);
  expect(executions.excess(10, 1_000)).toBeNull();
  expect(executions.excess(9, 1_000)).toBe(1);
  expect(executions.excess(4, 1_000)).toBe(6);
  expect(executions.excess(10, 999)).toBe(1);
  expect(executions.excess(10, 350)).toBe(7);
  expect(executions.excess(4, 350)).toBe(7);
  expect(executions.excess(10, 0)).toBe(10);
});

function asked(created_ts: number, ended_ts: number): void {
  const requests = new RequestTable(db);
  const invocation_id = `inv-${created_ts}`;
  requests.insert({
    invocation_id,
    request_id: `req-${created_ts}`,
    kind: "exec",
    room_id: "!r:x",
    agent: "builder",
    target_user: "@you:x",
    target_key_id: "key",
    public_key: "",
    legacy: false,
    requesting_agent: "laptop",
    summary: "true",
    request_sha256: "",
    created_ts,
    expires_ts: created_ts + 1,
  });
  requests.setFinished(invocation_id, "{}", null, ended_ts);
}

test("what took long and ended just now is not older than what began after it and ended long ago", () => {
  ran(1, 100, 1_000);
  ran(2, 100);
  ran(3, 100);
  expect(executions.endedBefore(1_000).map(({ run_id }) => run_id)).toEqual(["run-2", "run-3"]);
  expect(executions.excess(1, 1_000)).toBe(3);
  expect(executions.excess(3, 150)).toBe(3);
  const requests = new RequestTable(db);
  asked(1, 1_000);
  asked(2, 2);
  expect(requests.excess(1)).toBe(2);
  expect(requests.deleteEndedBefore(1_000)).toBe(1);
  expect(requests.get("inv-1")).toBeDefined();
});

test("where nothing is kept there is nothing too much", () => {
  expect(executions.excess(0, 0)).toBeNull();
  expect(new RequestTable(db).excess(0)).toBeNull();
});

test("output of runs that no record knows any more goes with what is pruned; what runs stays", async () => {
  ran(1, 100);
  ran(2, null);
  const spools = ["run-1", "run-2", "run-of-a-database-before", "run-of-another-that-goes-on"];
  const forgotten: string[] = [];
  const runner = {
    list: async () =>
      spools.map((run_id) => {
        const end = /^run-(2|of-another)/.test(run_id)
          ? null
          : { ...nothingRan("interrupted", 1), stdout_bytes: 100 };
        return { run_id, end } as RunState;
      }),
    forget: async (run_id: string) => void forgotten.push(run_id),
  };
  const tables = { db, executions, requests: new RequestTable(db) };
  const retention = new Retention({
    tables,
    runner,
    dataDir: dir,
    indexDir: join(dir, "chunks"),
    now: () => 10,
  });
  expect(await retention.prune(0)).toEqual({ pruned: 1, bytes: 200 });
  expect(forgotten).toEqual(["run-1", "run-of-a-database-before"]);
  expect(executions.byRun("run-1")).toBeUndefined();
  expect(executions.byRun("run-2")).toBeDefined();
});
