import type { Position } from "../audit/line.ts";
import type { AuditMemory } from "../audit/log.ts";
import type { Database } from "./database.ts";
import { Settings } from "./settings.ts";

const LAST = "audit_last";
const CONTRADICTED = "audit_contradicted";
/** Enough to see when it began; each has a line in the log as well. */
const MAX_CONTRADICTED = 16;

/** Where the audit log stood, kept where whoever changes its files does not look at once. */
export function auditMemory(db: Database): AuditMemory {
  const settings = new Settings(db);
  const contradicted = () => listOf(settings.get(CONTRADICTED));
  return {
    last: () => listOf([settings.get(LAST)])[0] ?? null,
    // The line itself is on the disk; should this be lost with the machine's power, an earlier line is remembered.
    remember: (position) => db.passingTransaction(() => settings.set(LAST, position)),
    contradicted,
    contradict: (position) =>
      settings.set(CONTRADICTED, [...contradicted(), position].slice(0, MAX_CONTRADICTED)),
  };
}

function listOf(value: unknown): Position[] {
  return Array.isArray(value) ? value.filter(isPosition) : [];
}

function isPosition(value: unknown): value is Position {
  if (typeof value !== "object" || value === null) return false;
  const { seq, hash }: { seq?: unknown; hash?: unknown } = value;
  return Number.isSafeInteger(seq) && typeof hash === "string";
}
