/**
 * How fast requests are decided on. Steps 2 to 7 and 10 (all that needs no disk) against bare node:crypto
 * verification of the same bytes, in turns on one core; then the durable admission, nonce and record and audit
 * line, each synced; and where the time of one admission goes.
 */
import { createPublicKey, randomUUID, sign, verify } from "node:crypto";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadPolicy, nodeMachine } from "@mx-agent/policy";
import {
  EventTypes,
  encodePublicKey,
  generateSigningKey,
  signContent,
  signedBytes,
} from "@mx-agent/protocol";
import type { BenchContext, Row } from "../../../scripts/bench/row.ts";
import { compared, median, quantile } from "../../../scripts/bench/stats.ts";
import { admit } from "../src/admit/admit.ts";
import { address } from "../src/admit/checks/address.ts";
import { binding } from "../src/admit/checks/binding.ts";
import { freshness } from "../src/admit/checks/freshness.ts";
import { key as keyCheck } from "../src/admit/checks/key.ts";
import { policy as policyCheck } from "../src/admit/checks/policy.ts";
import { shape } from "../src/admit/checks/shape.ts";
import { signature } from "../src/admit/checks/signature.ts";
import type { Claim, World } from "../src/admit/world.ts";
import type { IncomingEvent } from "../src/matrix/api.ts";
import { recordOf } from "../src/run/record.ts";
import { Database } from "../src/state/database.ts";
import { ExecutionTable } from "../src/state/executions.ts";
import { NonceTable } from "../src/state/nonces.ts";
import { migrations } from "../src/state/schema.ts";

export const name = "admit";
export const description =
  "Requests through steps 2 to 7 and 10 of the admission on one core, beside bare node:crypto verification of the same bytes";

const ROOM = "!room:example.org";
const ALICE = "@alice:example.org";
/** Requests in one sample. */
const BATCH = 100;

export async function run({ scale, say }: BenchContext): Promise<Row[]> {
  const bench = new AdmitBench();
  const batches = Math.max(10, Math.round(200 * scale));
  const ours: number[] = [];
  const bare: number[] = [];
  for (let n = -5; n < batches; n++) {
    const events = bench.events(BATCH);
    const admitted = perSecond(events, (event) => bench.decide(event));
    const verified = perSecond(
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
        unit: "requests/s",
        aim: "at least 0.5",
        must: { atLeast: 0.5 },
      },
      ours,
      bare,
    ),
    ...bench.waterfall(Math.max(500, Math.round(5_000 * scale))),
  ];
  return [...rows, ...durable(bench, Math.max(50, Math.round(1_000 * scale)))];
}

class AdmitBench {
  readonly world: World;
  readonly #key = generateSigningKey();
  readonly #public = createPublicKey(this.#key.privateKey);
  #made = 0;

  constructor() {
    const machine = nodeMachine({ PATH: "/usr/bin:/bin", HOME: "/" });
    const { key_id, fingerprint, publicKey } = this.#key;
    const approved_at = new Date().toISOString();
    const public_key = encodePublicKey(publicKey);
    const policy = loadPolicy(policyText, "policy.toml", machine);
    if (policy.state !== "ok") throw new Error(`the bench's policy is ${policy.state}`);
    this.world = {
      now: Date.now,
      self: { user_id: "@builder:example.org", key_id: "none", public_key: publicKey },
      ownAgent: (room_id, agent_id) => ({
        room_id,
        agent_id,
        kind: "",
        cwd: "/",
        capabilities: [],
        state_rev: 1,
      }),
      trusted: (room_id, agent_id) => ({
        ...{ room_id, agent_id, user_id: ALICE, key_id, fingerprint, public_key, status: "trusted" },
        ...{ legacy: false, approved_at, expires_at: null, revoked_at: null },
      }),
      isJoined: () => true,
      isEncrypted: () => false,
      claim: () => "fresh",
      policy,
      machine,
      running: () => 0,
      requestsInLastMinute: () => 0,
    };
  }

  events(count: number): IncomingEvent[] {
    return Array.from({ length: count }, () => this.#event());
  }

  decide(event: IncomingEvent): void {
    const { outcome } = admit(event, this.world);
    if (outcome !== "admitted") throw new Error(`the bench's request was ${outcome}`);
  }

  signedOf(event: IncomingEvent): { bytes: Buffer; sig: Buffer } {
    const bytes = signedBytes(Object(event.content));
    return { bytes, sig: sign(null, bytes, this.#key.privateKey) };
  }

  verify({ bytes, sig }: { bytes: Buffer; sig: Buffer }): void {
    if (!verify(null, bytes, this.#public, sig)) throw new Error("not verified");
  }

  /** What each step takes by itself, microseconds. */
  waterfall(count: number): Row[] {
    const times = new Map<string, number[]>();
    const step = <T>(what: string, work: () => T): T => {
      const start = performance.now();
      const result = work();
      const list = times.get(what) ?? [];
      list.push((performance.now() - start) * 1000);
      times.set(what, list);
      return result;
    };
    for (const event of this.events(count)) {
      const request = step("2 shape", () => shape(event));
      const agent = step("3 address", () => address(request, ROOM, this.world));
      step("4 freshness", () => freshness(request.content, Date.now()));
      const bound = step("5 binding", () => binding(event, request.content, ROOM));
      const { requesting_agent, signature: claimed } = request.content;
      const claimant = { room_id: ROOM, sender: ALICE, requesting_agent, key_id: claimed?.key_id };
      const key = step("6 key", () => keyCheck(claimant, bound, this.world));
      step("7 signature", () => signature(request.content, key));
      step("10 policy", () => policyCheck(request, event, agent, this.world));
    }
    return [...times].map(([what, samples]) => reported(`step ${what}`, samples, "µs"));
  }

  #event(): IncomingEvent {
    const now = Date.now();
    const invocation_id = `inv_${++this.#made}_${randomUUID()}`;
    const content = signContent(
      {
        invocation_id,
        request_id: `req_${this.#made}_${randomUUID()}`,
        target_agent: "builder",
        requesting_agent: "alice",
        command: ["sh", "-c", "npm test -w packages/daemon"],
        cwd: "/",
        env: {},
        stdin: false,
        stream: true,
        pty: false,
        timeout_ms: 600_000,
        task_id: null,
        created_at: new Date(now).toISOString(),
        expires_at: new Date(now + 120_000).toISOString(),
        nonce: randomUUID(),
        idempotency_key: `exec:${invocation_id}`,
        reply: { device_id: "DEVICE" },
      },
      this.#key,
      { room_id: ROOM, type: EventTypes.execRequest, sender: ALICE, device_id: "DEVICE" },
    );
    return {
      kind: "timeline",
      inbox_id: this.#made,
      room_id: ROOM,
      event_id: `$${this.#made}`,
      sender: ALICE,
      type: EventTypes.execRequest,
      content: JSON.parse(JSON.stringify(content)),
      origin_server_ts: now,
      backfilled: false,
      transport: { encrypted: false },
      received_ts: now,
    };
  }
}

/** Requests that would share one commit. */
const GROUP = 16;

/**
 * One after another, as the daemon does: claim, record and decision in one transaction, the audit line synced in it.
 * And in groups, with one commit and one sync for each: what the daemon leaves out.
 */
function durable(bench: AdmitBench, count: number): Row[] {
  const alone = durably(bench, count, 1);
  const grouped = durably(bench, count, GROUP);
  return [
    reported("durable admission: nonce, record and audit line, one at a time", alone, "ms"),
    reported(
      "durable admissions",
      alone.map((ms) => 1000 / ms),
      "requests/s",
    ),
    reported(
      `durable admissions, if ${GROUP} shared a commit`,
      grouped.map((ms) => 1000 / ms),
      "requests/s",
    ),
  ];
}

/** Milliseconds for each request, of groups of this size. */
function durably(bench: AdmitBench, count: number, size: number): number[] {
  const dir = mkdtempSync(join(tmpdir(), "mx-admit-bench-"));
  const db = new Database({ file: join(dir, "state.db"), migrations, version: "bench" });
  const audit = openSync(join(dir, "audit.jsonl"), "a", 0o600);
  const executions = new ExecutionTable(db);
  const nonces = new NonceTable(db);
  const decide = (event: IncomingEvent): string => {
    const claim = (asked: Claim) => {
      const outcome = nonces.admit(asked.key_id, asked.nonce, asked.expires_ts, Date.now());
      executions.insert(recordOf(event, asked, { now: Date.now }));
      return outcome;
    };
    const admission = admit(event, { ...bench.world, claim });
    if (admission.outcome !== "admitted") throw new Error(`the bench's request was ${admission.outcome}`);
    return `${JSON.stringify({ kind: "decision", event_id: event.event_id, steps: admission.steps })}\n`;
  };
  try {
    return Array.from({ length: Math.ceil(count / size) }, () => {
      const events = bench.events(size);
      const start = performance.now();
      db.transaction(() => {
        writeSync(audit, events.map(decide).join(""));
        fdatasyncSync(audit);
      });
      return (performance.now() - start) / size;
    });
  } finally {
    closeSync(audit);
    db.close();
    rmSync(dir, { recursive: true, force: true });
  }
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

const policyText = `version = 1
[execution]
sandbox = "none"
network = "allow"
[rooms."${ROOM}"]
trusted = true
[rooms."${ROOM}".agents."${ALICE}"]
allow_exec = true
allow_unsandboxed = true
allow_commands = ["sh", "git", "npm"]
allow_cwd = ["/"]
`;
