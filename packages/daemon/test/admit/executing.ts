/** The executing side on a home of its own: everything that decides and remembers is real. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mxError } from "@mx-agent/base";
import { createLogger } from "@mx-agent/base/log";
import type { RunnerClient } from "@mx-agent/runner";
import { afterEach, beforeEach } from "vitest";
import type { Admitted } from "../../src/admit/admitted.ts";
import { Auditor } from "../../src/audit-entries.ts";
import { Identity } from "../../src/identity.ts";
import type { Outgoing } from "../../src/matrix/api.ts";
import { EarlyRefusals } from "../../src/receive/refusals.ts";
import { Executor } from "../../src/run/executor.ts";
import { executorWorld } from "../../src/run/executor-world.ts";
import { Runs } from "../../src/run/runs.ts";
import { monotonicClock } from "../../src/state/clock.ts";
import { Database } from "../../src/state/database.ts";
import { NonceTable } from "../../src/state/nonces.ts";
import { migrations } from "../../src/state/schema.ts";
import { Settings } from "../../src/state/settings.ts";
import { openTables } from "../../src/state/tables.ts";
import {
  approval,
  BUILDER,
  builderKey,
  type Content,
  eventOf,
  machine,
  NOW,
  policy,
  ROOM,
  request,
  signed,
} from "./support.ts";

/** What a test changes about the daemon's surroundings, and counts there. */
export const home: {
  dir: string;
  system: number;
  /** Why the audit log cannot be written. */
  trouble: Error | null;
  /** Happens when the policy is looked at. */
  readPolicy: ((audit: Auditor) => undefined) | null;
  /** How often the audit log was synced. */
  syncs: number;
} = { dir: "", system: NOW, trouble: null, readPolicy: null, syncs: 0 };
export let daemon: ReturnType<typeof start>;
beforeEach(() => {
  home.dir = mkdtempSync(join(tmpdir(), "mx-executor-"));
  home.system = NOW;
  home.trouble = null;
  home.readPolicy = null;
  home.syncs = 0;
  daemon = start();
  daemon.tables.trust.approve(approval());
  daemon.tables.ownAgents.put(
    { room_id: ROOM, agent_id: "builder", kind: "", cwd: "/srv", capabilities: [], state_rev: 1 },
    NOW,
  );
});
afterEach(() => {
  daemon.db.close();
  rmSync(home.dir, { recursive: true });
});

/** A daemon on that home: everything that decides and remembers is real; rooms, runner and network are not. */
function start({ nonces = 20_000, runner }: { nonces?: number; runner?: RunnerClient } = {}) {
  const db = new Database({ file: join(home.dir, "state.db"), migrations, version: "test" });
  const now = monotonicClock(new Settings(db), () => home.system);
  const tables = { ...openTables(db, now), nonces: new NonceTable(db, nonces) };
  const account = { user_id: BUILDER, device_id: "DEVICE", homeserver: "https://example.org" };
  const said: Outgoing[] = [];
  const audit: Record<string, unknown>[] = [];
  const started: string[] = [];
  const cancelled: string[] = [];
  const auditor = new Auditor({
    appendMany: (entries) => {
      if (home.trouble) throw home.trouble;
      audit.push(...entries);
      if (entries.length > 0) home.syncs += 1;
    },
  });
  const early = new EarlyRefusals(now, new Settings(db));
  const world = executorWorld({
    ...tables,
    policy: { current: () => home.readPolicy?.(auditor) ?? policy },
    machine,
    audit: auditor,
    early,
    identity: new Identity(builderKey, account),
    rooms: { isJoined: () => true, get: () => undefined, stateEvent: () => undefined },
    outbox: { enqueue: (outgoing: Outgoing) => said.push(outgoing) },
    now,
  } as unknown as Parameters<typeof executorWorld>[0]);
  const logger = createLogger({ name: "test", env: {} });
  const run = { env: {}, home: home.dir, hidden_paths: [], indexDir: join(home.dir, "chunks") };
  const handedOn = {
    start: async (admitted: readonly Admitted[]) => {
      started.push(...admitted.map(({ request }) => request.content.invocation_id));
    },
    cancel: async (run_id: string) => {
      cancelled.push(run_id);
    },
  } as unknown as Runs;
  const runs = runner ? new Runs(world, runner, run, logger) : handedOn;
  const executor = new Executor(world, runs, logger);
  return { db, tables, executor, runs, said, audit, started, cancelled, early };
}

/** Another daemon on the same home. */
export function restart(options: Parameters<typeof start>[0] = {}): void {
  daemon.db.close();
  daemon = start(options);
}

let events = 0;
export const send = (content: Content, changes = {}) =>
  daemon.executor.onRequest(eventOf(content, { event_id: `$${++events}`, ...changes }));
/** A moment from now. */
export const at = (ms: number) => new Date(home.system + ms).toISOString();
export const fresh = (changes: Content = {}) =>
  signed(request({ created_at: at(0), expires_at: at(120_000), ...changes }));
export function reasons(): Record<string, number> {
  let found: Record<string, number> = {};
  daemon.early.sumUp((summary) => {
    found = summary.reasons;
  });
  return found;
}

/** Requests that came in one sync. */
export const sendTogether = (...contents: Content[]) =>
  daemon.executor.onRequests(contents.map((content) => eventOf(content, { event_id: `$${++events}` })));

export const FULL = mxError("MX_CANNOT_WRITE", { path: "audit.jsonl", detail: "full", hint: "" });
