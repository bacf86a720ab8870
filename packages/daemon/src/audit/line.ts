import { maskArgv } from "@mx-agent/base";
import type { AuditLine } from "@mx-agent/ipc";
import { sha256Base64 } from "@mx-agent/protocol";

/** What is put on record. A checkpoint is the log's own. */
export interface AuditEntry {
  kind: "decision" | "outcome" | "refusal_summary" | "trust" | "invite" | "policy" | "daemon";
  [field: string]: unknown;
}

/** What stands before the first line. */
export const NOTHING = "";

/** Where the log ends: the line of this number, and the SHA-256 (base64) of its bytes without the line break. */
export interface Position {
  seq: number;
  hash: string;
}

const own = ["seq", "ts", "prev", "signature", "public_key"];

/**
 * The next line. Arguments of commands are masked here too, so that no caller can forget it.
 * @throws TypeError where an entry has a field of the log's own, or a value that JSON does not have.
 */
export function encodeLine(
  after: Position,
  ts: Date,
  entry: { kind: string } & Record<string, unknown>,
): { line: AuditLine; text: string; position: Position } {
  const taken = entry.kind === "checkpoint" ? [] : own.filter((field) => Object.hasOwn(entry, field));
  if (taken.length > 0) throw new TypeError(`an audit entry cannot have ${taken.join(", ")} of its own`);
  const { kind, ...fields } = entry;
  const line: AuditLine = { seq: after.seq + 1, ts: ts.toISOString(), kind, prev: after.hash, ...fields };
  const { command } = fields;
  if (isTexts(command)) line.command = maskArgv(command);
  const text = JSON.stringify(line);
  return { line, text, position: { seq: line.seq, hash: hashLine(text) } };
}

export function hashLine(text: string | Uint8Array): string {
  return sha256Base64(typeof text === "string" ? Buffer.from(text) : text);
}

/** A line as it was read; null when it is none of ours. */
export function parseLine(text: string): AuditLine | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return isLine(value) ? value : null;
}

function isLine(value: unknown): value is AuditLine {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const fields: Partial<Record<keyof AuditLine, unknown>> = value;
  const { seq, ts, kind, prev } = fields;
  return (
    Number.isSafeInteger(seq) &&
    typeof ts === "string" &&
    typeof kind === "string" &&
    typeof prev === "string"
  );
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
