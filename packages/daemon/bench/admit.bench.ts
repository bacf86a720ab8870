/**
 * How fast requests are decided on. Steps 2 to 7 and 10 (all that needs no disk) against bare node:crypto
 * verification of the same bytes, in turns on one core; then all of it with what is durable, one at a time and
 * 16 that came together; and where the time of one admission goes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@mx-agent/base/log";
import { generateSigningKey } from "@mx-agent/protocol";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median, quantile } from "../../../scripts/bench/stats.ts";
import { openAudit } from "../src/audit/log.ts";
import { Auditor, type AuditSink } from "../src/audit-entries.ts";
import { Identity } from "../src/identity.ts";
import type { IncomingEvent, Outbox } from "../src/matrix/api.ts";
import { EarlyRefusals } from "../src/receive/refusals.ts";
import { Decisions } from "../src/run/decisions.ts";
import { Database } from "../src/state/database.ts";
import { ExecutionTable } from "../src/state/executions.ts";
import { NonceTable } from "../src/state/nonces.ts";
import { migrations } from "../src/state/schema.ts";
import { Settings } from "../src/state/settings.ts";
import { AdmitBench } from "./admit-world.ts";

export const name = "admit";
export const description =
  "Requests through steps 2 to 7 and 10 of the admission on one core, beside bare node:crypto verification of the same bytes";

/** Requests in one sample. */
const BATCH = 100;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  const bench = new AdmitBench();
  const batches = Math.max(10, Math.round(200 * scale));
  const ours: number[] = [];
  const bare: number[] = [];
  for (let n = -5; n < batches; n++) {
    const events = bench.events(BATCH);
    const admitted = perCoreSecond(events, (event) => bench.decide(event));
    const verified = perCoreSecond(
      events.map((event) => bench.signedOf(event)),
      (one) => bench.verify(one),
    );
    if (n < 0) continue;
    ours.push(admitted);
    bare.push(verified);
  }
  say(`${median(ours).toFixed(0)} requests/s, ${median(bare).toFixed(0)} verifications/s`);
  const against = `node:crypto verify, ${median(bare).toFixed(0)}/s`;
  const rows = [
    compared(
      {
        what: "steps 2 to 7 and 10",
        against,
        unit: "requests/s of a core",
        aim: "at least 0.5",
        must: { atLeast: 0.5 },
      },
      ours,
      bare,
    ),
  ];
  const waterfall = new Waterfall();
  bench.steps(Math.max(500, Math.round(5_000 * scale)), waterfall.step);
  rows.push(...waterfall.rows("step "));
  return [...rows, ...durable(bench, Math.max(10, Math.round(100 * scale)))];
}

/** What came in one sync is decided on in groups of at most this many. */
const GROUP = 16;

/** What each part of it takes, microseconds. */
class Waterfall {
  readonly #times = new Map<string, number[]>();

  readonly step = <T>(what: string, work: () => T): T => {
    const start = performance.now();
    const result = work();
    const list = this.#times.get(what) ?? [];
    list.push((performance.now() - start) * 1000);
    this.#times.set(what, list);
    return result;
  };

  rows(prefix: string): Row[] {
    return [...this.#times].map(([what, samples]) => reported(`${prefix}${what}`, samples, "µs"));
  }
}

/**
 * As the daemon does it, with its own parts: nonce and record claimed, the decision's line in the audit log synced,
 * `starting` committed; then the runner could be told. In turns: 16 one after another, and 16 that came together.
 */
function durable(bench: AdmitBench, rounds: number): Row[] {
  const dir = mkdtempSync(join(tmpdir(), "mx-admit-bench-"));
  const daemon = new DurableDaemon(bench, dir);
  const waterfall = new Waterfall();
  const [alone, together]: [number[], number[]] = [[], []];
  try {
    for (let round = 0; round < rounds; round++) {
      alone.push(perSecond(bench.events(GROUP), (event) => daemon.take([event], waterfall.step)));
      together.push(perSecond([bench.events(GROUP)], (group) => daemon.take(group)) * GROUP);
    }
  } finally {
    daemon.close();
    rmSync(dir, { recursive: true, force: true });
  }
  const one = { what: "durable admissions, one at a time", against: "", unit: "requests/s", aim: "" };
  const against = `one at a time, ${median(alone).toFixed(0)}/s`;
  return [
    reported(one.what, alone, one.unit),
    compared({ ...one, what: `durable admissions, ${GROUP} that came together`, against }, together, alone),
    ...waterfall.rows("one durable admission: "),
  ];
}

type Step = Waterfall["step"];

/** What of a daemon decides, and keeps what it decided. */
class DurableDaemon {
  readonly #db: Database;
  readonly #log: AuditSink & { close(): void };
  readonly #executions: ExecutionTable;
  readonly #decisions: Decisions;
  #step: Step = (_, work) => work();

  constructor(bench: AdmitBench, dir: string) {
    this.#db = new Database({ file: join(dir, "state.db"), migrations, version: "bench" });
    this.#log = openAudit({ dir: join(dir, "audit"), clock: () => new Date() });
    this.#executions = new ExecutionTable(this.#db);
    const account = { user_id: "@builder:example.org", device_id: "DEVICE", homeserver: "" };
    const sink: AuditSink = {
      appendMany: (lines) => this.#step("audit line written and synced", () => this.#log.appendMany(lines)),
    };
    this.#decisions = new Decisions(
      {
        db: this.#db,
        executions: this.#executions,
        nonces: new NonceTable(this.#db),
        audit: new Auditor(sink),
        early: new EarlyRefusals(Date.now, new Settings(this.#db)),
        identity: new Identity(generateSigningKey(), account),
        outbox: silent,
        policy: { current: () => bench.world.policy },
        now: Date.now,
        forAdmission: (claim) => ({
          ...bench.world,
          claim: (asked) => this.#step("nonce claimed, request recorded", () => claim(asked)),
        }),
      },
      createLogger({ name: "bench", env: {} }),
    );
  }

  /** From the inbox to where the runner could be told. */
  take(events: readonly IncomingEvent[], step: Step = (_, work) => work()): void {
    this.#step = step;
    const admitted = step("checks, nonce, record and line", () => this.#decisions.decide(events));
    if (admitted.length !== events.length) throw new Error("a request of the bench was not admitted");
    step("`starting` committed and synced", () =>
      this.#db.transaction(() => {
        for (const { request } of admitted) {
          const record = this.#executions.byInvocation(request.content.invocation_id);
          if (record) this.#executions.setState(record.run_id, "starting");
        }
      }),
    );
  }

  close(): void {
    this.#log.close();
    this.#db.close();
  }
}

/** Nothing of the bench is refused, so that nothing is to be said. */
const silent: Outbox = {
  enqueue: () => {
    throw new Error("a request of the bench was answered");
  },
  onRefused: () => {},
  depth: () => 0,
  drained: async () => {},
};

/**
 * By the processor time of this process, all of its threads included: what is asked is what a core can do, and what
 * else runs on the machine meanwhile is nothing of that.
 */
function perCoreSecond<T>(items: readonly T[], work: (item: T) => void): number {
  const start = process.cpuUsage();
  for (const item of items) work(item);
  const { user, system } = process.cpuUsage(start);
  return items.length / ((user + system) / 1_000_000);
}

function perSecond<T>(items: readonly T[], work: (item: T) => void): number {
  const start = performance.now();
  for (const item of items) work(item);
  return items.length / ((performance.now() - start) / 1000);
}

function reported(what: string, samples: readonly number[], unit: string): Row {
  const row = {
    what,
    against: "",
    n: samples.length,
    median: median(samples),
    p95: quantile(samples, 0.95),
    unit,
  };
  return { ...row, ratio: undefined, interval: undefined, aim: "", verdict: "reported" };
}
