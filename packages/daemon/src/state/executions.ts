import type { InvocationState } from "@mx-agent/ipc";
import type { Grant } from "@mx-agent/policy";
import type { RunEnd } from "@mx-agent/runner";
import { integer, integerOrNull, text, textOrNull } from "./columns.ts";
import type { Database } from "./database.ts";

export const executionsSchema = `
CREATE TABLE executions (
  run_id TEXT PRIMARY KEY, invocation_id TEXT NOT NULL UNIQUE, request_id TEXT NOT NULL,
  kind TEXT NOT NULL, room_id TEXT NOT NULL, event_id TEXT NOT NULL, sender TEXT NOT NULL, key_id TEXT NOT NULL,
  requesting_agent TEXT NOT NULL, target_agent TEXT NOT NULL, summary TEXT NOT NULL,
  event TEXT NOT NULL, state TEXT NOT NULL, reason TEXT, explanation TEXT,
  created_ts INTEGER NOT NULL, hold_expires_ts INTEGER, started_ts INTEGER, ended_ts INTEGER, end TEXT,
  reply_device TEXT
) STRICT;
CREATE INDEX executions_by_state ON executions (state);
CREATE INDEX executions_by_request ON executions (request_id);
CREATE INDEX executions_by_time ON executions (created_ts);
`;

/** Format 3: what a run was granted when it was admitted, and a cancel that waits for a session. */
export const executionsGranted = `
ALTER TABLE executions ADD COLUMN granted TEXT;
ALTER TABLE executions ADD COLUMN cancelled_ts INTEGER;
`;

/**
 * The states of a run on this side. `starting` is the commit point: before it a restart decides again, after
 * it the command is never started again (DESIGN.md, "State, and what survives").
 */
export type ExecutionState = Extract<
  InvocationState,
  "received" | "held" | "admitted" | "starting" | "running" | "ended" | "rejected"
>;

export interface Execution {
  /** Made here; names the spool. */
  run_id: string;
  invocation_id: string;
  request_id: string;
  kind: "exec" | "call";
  room_id: string;
  event_id: string;
  sender: string;
  key_id: string;
  requesting_agent: string;
  target_agent: string;
  /** As a person would type it, secrets masked. */
  summary: string;
  /** The IncomingEvent as it arrived, JSON: what a restart and `policy explain` decide on again. */
  event: string;
  state: ExecutionState;
  reason: string | null;
  /** The Explanation of the decision, JSON. */
  explanation: string | null;
  created_ts: number;
  hold_expires_ts: number | null;
  started_ts: number | null;
  ended_ts: number | null;
  end: RunEnd | null;
  /** Where the requester takes streams since he asked from another device than the request named. */
  reply_device: string | null;
  /** What it runs under; null before it is admitted, and for what was admitted by a version that did not keep it. */
  granted: Grant | null;
  /** When its operator cancelled it without a session; what was not started then is ended with the next one. */
  cancelled_ts: number | null;
}

/** A request as it is recorded first. */
export type ReceivedExecution = Omit<
  Execution,
  | "reason"
  | "explanation"
  | "hold_expires_ts"
  | "started_ts"
  | "ended_ts"
  | "end"
  | "reply_device"
  | "granted"
  | "cancelled_ts"
>;

/** What this daemon was asked to run, from the moment the request's nonce was admitted. */
export class ExecutionTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  insert(row: ReceivedExecution): void {
    this.#db.run(
      `INSERT INTO executions (run_id, invocation_id, request_id, kind, room_id, event_id, sender, key_id,
         requesting_agent, target_agent, summary, event, state, created_ts)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.run_id,
      row.invocation_id,
      row.request_id,
      row.kind,
      row.room_id,
      row.event_id,
      row.sender,
      row.key_id,
      row.requesting_agent,
      row.target_agent,
      row.summary,
      row.event,
      row.state,
      row.created_ts,
    );
  }

  setState(run_id: string, state: ExecutionState): void {
    this.#db.run("UPDATE executions SET state = ? WHERE run_id = ?", state, run_id);
  }

  setDecision(
    run_id: string,
    state: ExecutionState,
    reason: string | null,
    explanation: string,
    granted: Grant | null = null,
  ): void {
    this.#db.run(
      "UPDATE executions SET state = ?, reason = ?, explanation = ?, granted = ? WHERE run_id = ?",
      state,
      reason,
      explanation,
      granted && JSON.stringify(granted),
      run_id,
    );
  }

  /** It is to be ended as soon as there is a session again. */
  setCancelled(run_id: string, ts: number): void {
    this.#db.run("UPDATE executions SET cancelled_ts = ? WHERE run_id = ?", ts, run_id);
  }

  setHeld(run_id: string, expires_ts: number): void {
    this.#db.run("UPDATE executions SET hold_expires_ts = ? WHERE run_id = ?", expires_ts, run_id);
  }

  /** Of a run that is being started; one that has ended in between stays so. */
  setStarted(run_id: string, ts: number): void {
    this.#db.runPassing(
      "UPDATE executions SET state = 'running', started_ts = ? WHERE run_id = ? AND state = 'starting'",
      ts,
      run_id,
    );
  }

  setEnded(run_id: string, end: RunEnd, ts: number): void {
    this.#db.run(
      "UPDATE executions SET state = 'ended', ended_ts = ?, end = ? WHERE run_id = ?",
      ts,
      JSON.stringify(end),
      run_id,
    );
  }

  setReplyDevice(run_id: string, device_id: string): void {
    this.#db.run("UPDATE executions SET reply_device = ? WHERE run_id = ?", device_id, run_id);
  }

  byRun(run_id: string): Execution | undefined {
    return this.#one("SELECT * FROM executions WHERE run_id = ?", run_id);
  }

  byInvocation(invocation_id: string): Execution | undefined {
    return this.#one("SELECT * FROM executions WHERE invocation_id = ?", invocation_id);
  }

  byRequest(request_id: string): Execution | undefined {
    return this.#one(
      "SELECT * FROM executions WHERE request_id = ? ORDER BY created_ts DESC LIMIT 1",
      request_id,
    );
  }

  /** Whether another key has used that request id: answers to calls name nothing else. */
  isAnothersRequest(request_id: string, key_id: string): boolean {
    return (
      this.#db.get(
        "SELECT 1 AS hit FROM executions WHERE request_id = ? AND key_id != ?",
        request_id,
        key_id,
      ) !== undefined
    );
  }

  inState(...states: ExecutionState[]): Execution[] {
    return this.#db
      .all(
        `SELECT * FROM executions WHERE state IN (${states.map(() => "?").join(", ")}) ORDER BY created_ts`,
        ...states,
      )
      .map(execution);
  }

  recent(limit: number): Execution[] {
    return this.#db.all("SELECT * FROM executions ORDER BY created_ts DESC LIMIT ?", limit).map(execution);
  }

  /** Runs that ended since, whose output may still be asked for. */
  endedSince(ts: number): Execution[] {
    return this.#db
      .all("SELECT * FROM executions WHERE state = 'ended' AND ended_ts >= ?", ts)
      .map(execution);
  }

  /** How many requests of a user in a room were let through since. */
  countSince(room_id: string, sender: string, since_ts: number): number {
    return this.#count(
      "created_ts >= ? AND room_id = ? AND sender = ? AND state NOT IN ('rejected', 'received')",
      since_ts,
      room_id,
      sender,
    );
  }

  /** How many runs of a user in a room there are now. */
  countRunning(room_id: string, sender: string): number {
    return this.#count(
      "state IN ('admitted', 'starting', 'running') AND room_id = ? AND sender = ?",
      room_id,
      sender,
    );
  }

  /** What ended, or was rejected, before that: the ones that a prune may remove. */
  endedBefore(ts: number): Execution[] {
    return this.#db
      .all(
        `SELECT * FROM executions WHERE state IN ('ended', 'rejected') AND coalesce(ended_ts, created_ts) < ?
         ORDER BY created_ts`,
        ts,
      )
      .map(execution);
  }

  /** When the last ended of those that are too many, or whose output is too much, counted from the last on. */
  excess(max_runs: number, max_bytes: number): number | null {
    const row = this.#db.get(
      `SELECT max(over_ts) AS ts FROM (
         SELECT over_ts, row_number() OVER last_first AS n,
           sum(coalesce(end ->> '$.stdout_bytes', 0) + coalesce(end ->> '$.stderr_bytes', 0)) OVER last_first AS bytes
         FROM (SELECT run_id, end, coalesce(ended_ts, created_ts) AS over_ts
           FROM executions WHERE state IN ('ended', 'rejected'))
         WINDOW last_first AS (ORDER BY over_ts DESC, run_id ROWS UNBOUNDED PRECEDING))
       WHERE n > ? OR bytes > ?`,
      max_runs,
      max_bytes,
    );
    return row ? integerOrNull(row, "ts") : null;
  }

  delete(run_id: string): void {
    this.#db.run("DELETE FROM executions WHERE run_id = ?", run_id);
  }

  #count(where: string, ...values: (string | number)[]): number {
    const row = this.#db.get(`SELECT count(*) AS n FROM executions WHERE ${where}`, ...values);
    return row ? integer(row, "n") : 0;
  }

  #one(sql: string, value: string): Execution | undefined {
    const row = this.#db.get(sql, value);
    return row && execution(row);
  }
}

const states: readonly ExecutionState[] = [
  "received",
  "held",
  "admitted",
  "starting",
  "running",
  "ended",
  "rejected",
];

function execution(row: Record<string, unknown>): Execution {
  const end = textOrNull(row, "end");
  const granted = textOrNull(row, "granted");
  const state = text(row, "state");
  return {
    run_id: text(row, "run_id"),
    invocation_id: text(row, "invocation_id"),
    request_id: text(row, "request_id"),
    kind: text(row, "kind") === "call" ? "call" : "exec",
    room_id: text(row, "room_id"),
    event_id: text(row, "event_id"),
    sender: text(row, "sender"),
    key_id: text(row, "key_id"),
    requesting_agent: text(row, "requesting_agent"),
    target_agent: text(row, "target_agent"),
    summary: text(row, "summary"),
    event: text(row, "event"),
    state: states.find((known) => known === state) ?? "rejected",
    reason: textOrNull(row, "reason"),
    explanation: textOrNull(row, "explanation"),
    created_ts: integer(row, "created_ts"),
    hold_expires_ts: integerOrNull(row, "hold_expires_ts"),
    started_ts: integerOrNull(row, "started_ts"),
    ended_ts: integerOrNull(row, "ended_ts"),
    end: end === null ? null : JSON.parse(end),
    reply_device: textOrNull(row, "reply_device"),
    granted: granted === null ? null : JSON.parse(granted),
    cancelled_ts: integerOrNull(row, "cancelled_ts"),
  };
}
