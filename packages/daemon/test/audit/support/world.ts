/** An audit log in a directory of its own, with a clock that the test moves. */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateSigningKey } from "@mx-agent/protocol";
import { afterEach, beforeEach } from "vitest";
import { signerOf } from "../../../src/audit/checkpoint.ts";
import { type AuditLog, type AuditOptions, openAudit } from "../../../src/audit/log.ts";

export const key = generateSigningKey();
export const signer = signerOf(key);
/** Where the log of this test is. */
export let dir = "";
let now = 0;
const open: AuditLog[] = [];

beforeEach(() => {
  dir = join(realpathSync(mkdtempSync(join(tmpdir(), "mx-audit-"))), "audit");
  now = Date.UTC(2026, 0, 1);
});
afterEach(() => {
  for (const log of open.splice(0)) log.close();
  rmSync(join(dir, ".."), { recursive: true, force: true });
});

export function start(over: Partial<AuditOptions> = {}): AuditLog {
  const log = openAudit({ dir, clock, signer, ...over });
  open.push(log);
  return log;
}

/** A second passes. */
export const aSecondLater = (): number => (now += 1000);
export const clock = () => new Date(now);

export function stop(log: AuditLog): void {
  open.splice(open.indexOf(log), 1);
  log.close();
}

export const files = () => readdirSync(dir).toSorted();
export const only = () => join(dir, "audit-000000000001.jsonl");
export const lines = (file = only()) => readFileSync(file, "utf8").trimEnd().split("\n");
export const decision = (n: number) => ({
  kind: "decision" as const,
  decision: "allow",
  invocation_id: `inv_${n}`,
});
export const problems = async (log: AuditLog) =>
  (await log.verify()).problems.map(({ line, problem }) => `${line} ${problem}`);

/** A log of `count` decisions, closed, with a checkpoint in the middle and at the end. */
export function written(count = 6): void {
  const log = start();
  for (let n = 1; n <= count; n++) {
    log.append(decision(n));
    if (n === count / 2) log.checkpoint();
  }
  stop(log);
}

/** The log as an editor makes it out of its lines. */
export function rewrite(edit: (all: string[]) => string[]): void {
  writeFileSync(only(), `${edit(lines()).join("\n")}\n`);
}

/** The whole log again, with another decision in it, a valid chain, and checkpoints by `as`. */
export function forge(as: typeof signer | null): void {
  const old = lines().map((line) => JSON.parse(line));
  renameSync(dir, `${dir}-old`);
  const log = openAudit({ dir, clock, signer: as });
  for (const { seq, ts, prev, kind, ...fields } of old) {
    if (kind === "checkpoint") log.checkpoint();
    else log.append({ kind, ...fields, decision: "deny" });
  }
  log.close();
}
