import type { InvocationResult, InvocationState } from "@mx-agent/ipc";
import { integer, integerOrNull, text, textOrNull } from "./columns.ts";
import type { Database } from "./database.ts";

export const requestsSchema = `
CREATE TABLE requests (
  invocation_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, kind TEXT NOT NULL,
  room_id TEXT NOT NULL, agent TEXT NOT NULL, target_user TEXT NOT NULL, target_key_id TEXT NOT NULL,
  public_key TEXT NOT NULL, legacy INTEGER NOT NULL, requesting_agent TEXT NOT NULL, summary TEXT NOT NULL, request_sha256 TEXT NOT NULL,
  state TEXT NOT NULL, reason TEXT, detail TEXT, target_device TEXT,
  created_ts INTEGER NOT NULL, expires_ts INTEGER NOT NULL, ended_ts INTEGER, finished TEXT, result TEXT
) STRICT;
CREATE UNIQUE INDEX requests_by_request ON requests (request_id);
CREATE INDEX requests_by_state ON requests (state);
CREATE INDEX requests_by_time ON requests (created_ts);
`;

export type RequestState = Extract<
  InvocationState,
  "requested" | "held" | "running" | "ended" | "rejected" | "lost"
>;

/** A request of ours to another agent (or to ourselves, through the homeserver). */
export interface Request {
  invocation_id: string;
  request_id: string;
  kind: "exec" | "call";
  room_id: string;
  agent: string;
  /** The Matrix user and the key that were approved for the agent when it was asked: only they can answer. */
  target_user: string;
  target_key_id: string;
  public_key: string;
  legacy: boolean;
  requesting_agent: string;
  summary: string;
  request_sha256: string;
  state: RequestState;
  reason: string | null;
  detail: string | null;
  /** The executing device, once `accepted` named it. */
  target_device: string | null;
  created_ts: number;
  expires_ts: number;
  ended_ts: number | null;
  /** The content of the first valid `finished` or `call.response`, JSON. */
  finished: string | null;
  result: InvocationResult | null;
}

/** What this daemon asked others for. */
export class RequestTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  insert(
    row: Omit<Request, "state" | "reason" | "detail" | "target_device" | "ended_ts" | "finished" | "result">,
  ): void {
    this.#db.run(
      `INSERT INTO requests (invocation_id, request_id, kind, room_id, agent, target_user, target_key_id, public_key, legacy,
         requesting_agent, summary, request_sha256, state, created_ts, expires_ts)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'requested', ?, ?)`,
      row.invocation_id,
      row.request_id,
      row.kind,
      row.room_id,
      row.agent,
      row.target_user,
      row.target_key_id,
      row.public_key,
      row.legacy ? 1 : 0,
      row.requesting_agent,
      row.summary,
      row.request_sha256,
      row.created_ts,
      row.expires_ts,
    );
  }

  setState(invocation_id: string, state: RequestState): void {
    this.#db.runPassing("UPDATE requests SET state = ? WHERE invocation_id = ?", state, invocation_id);
  }

  setDevice(invocation_id: string, device_id: string): void {
    this.#db.runPassing(
      "UPDATE requests SET target_device = ? WHERE invocation_id = ?",
      device_id,
      invocation_id,
    );
  }

  setRejected(invocation_id: string, reason: string, detail: string | null, ts: number): void {
    this.#db.run(
      "UPDATE requests SET state = 'rejected', reason = ?, detail = ?, ended_ts = ? WHERE invocation_id = ?",
      reason,
      detail,
      ts,
      invocation_id,
    );
  }

  /** Nothing more is expected of it; `reason` is an error code of ours where we know why. */
  setLost(invocation_id: string, reason: string | null, detail: string | null, ts: number): void {
    this.#db.run(
      "UPDATE requests SET state = 'lost', reason = ?, detail = ?, ended_ts = ? WHERE invocation_id = ?",
      reason,
      detail,
      ts,
      invocation_id,
    );
  }

  /** Records the first valid result; a later one changes nothing. Answers whether this was the first. */
  setFinished(invocation_id: string, finished: string, result: InvocationResult | null, ts: number): boolean {
    return (
      this.#db.runPassing(
        `UPDATE requests SET state = 'ended', finished = ?, result = ?, ended_ts = ?
         WHERE invocation_id = ? AND finished IS NULL`,
        finished,
        result && JSON.stringify(result),
        ts,
        invocation_id,
      ).changes > 0
    );
  }

  /** Whether all output arrived and matched its digests; where it once did, a later reader changes nothing. */
  setResult(invocation_id: string, result: InvocationResult): void {
    this.#db.runPassing(
      `UPDATE requests SET result = ?
       WHERE invocation_id = ? AND (result IS NULL OR json_extract(result, '$.complete') IS NOT 1)`,
      JSON.stringify(result),
      invocation_id,
    );
  }

  get(invocation_id: string): Request | undefined {
    const row = this.#db.get("SELECT * FROM requests WHERE invocation_id = ?", invocation_id);
    return row && request(row);
  }

  byRequest(request_id: string): Request | undefined {
    const row = this.#db.get("SELECT * FROM requests WHERE request_id = ?", request_id);
    return row && request(row);
  }

  open(): Request[] {
    return this.#db
      .all("SELECT * FROM requests WHERE state IN ('requested', 'held', 'running')")
      .map(request);
  }

  recent(limit: number): Request[] {
    return this.#db.all("SELECT * FROM requests ORDER BY created_ts DESC LIMIT ?", limit).map(request);
  }

  /** When the last ended of those that are more than so many, counted from the last on. */
  excess(max: number): number | null {
    const row = this.#db.get(
      `SELECT coalesce(ended_ts, created_ts) AS ts FROM requests WHERE state IN ('ended', 'rejected', 'lost')
       ORDER BY ts DESC LIMIT 1 OFFSET ?`,
      max,
    );
    return row ? integerOrNull(row, "ts") : null;
  }

  deleteEndedBefore(ts: number): number {
    return this.#db.run(
      `DELETE FROM requests
       WHERE state IN ('ended', 'rejected', 'lost') AND coalesce(ended_ts, created_ts) < ?`,
      ts,
    ).changes;
  }
}

const states: readonly RequestState[] = ["requested", "held", "running", "ended", "rejected", "lost"];

function request(row: Record<string, unknown>): Request {
  const result = textOrNull(row, "result");
  const state = text(row, "state");
  return {
    invocation_id: text(row, "invocation_id"),
    request_id: text(row, "request_id"),
    kind: text(row, "kind") === "call" ? "call" : "exec",
    room_id: text(row, "room_id"),
    agent: text(row, "agent"),
    target_user: text(row, "target_user"),
    target_key_id: text(row, "target_key_id"),
    public_key: text(row, "public_key"),
    legacy: integer(row, "legacy") === 1,
    requesting_agent: text(row, "requesting_agent"),
    summary: text(row, "summary"),
    request_sha256: text(row, "request_sha256"),
    state: states.find((known) => known === state) ?? "lost",
    reason: textOrNull(row, "reason"),
    detail: textOrNull(row, "detail"),
    target_device: textOrNull(row, "target_device"),
    created_ts: integer(row, "created_ts"),
    expires_ts: integer(row, "expires_ts"),
    ended_ts: integerOrNull(row, "ended_ts"),
    finished: textOrNull(row, "finished"),
    result: result === null ? null : JSON.parse(result),
  };
}
