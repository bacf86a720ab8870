import type { Outgoing } from "../matrix/api.ts";
import { integer, text, textOrNull } from "./columns.ts";
import type { Database } from "./database.ts";

export const outboxSchema = `
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, txn_id TEXT NOT NULL UNIQUE, lane TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('event', 'state', 'to_device')),
  type TEXT NOT NULL, outgoing TEXT NOT NULL, replace_key TEXT,
  prepared TEXT, tried_by TEXT, queued_ts INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_replace_key ON outbox (lane, replace_key) WHERE replace_key IS NOT NULL;
`;

/** A message until the homeserver has confirmed it. */
export interface OutboxRow {
  txn_id: string;
  lane: string;
  outgoing: Outgoing;
  /** The encrypted content, exactly as it is sent and sent again; null until it is made, and for plain ones. */
  prepared: string | null;
  /** The device that has tried to send it: transaction ids are known to the server by device. */
  tried_by: string | null;
}

/** Every method joins the caller's transaction. */
export class OutboxTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(
    row: Pick<OutboxRow, "txn_id" | "lane" | "outgoing">,
    replace_key: string | undefined,
    now: number,
  ): void {
    this.#db.run(
      "INSERT INTO outbox (txn_id, lane, kind, type, outgoing, replace_key, queued_ts) VALUES (?, ?, ?, ?, ?, ?, ?)",
      row.txn_id,
      row.lane,
      row.outgoing.kind,
      row.outgoing.type,
      JSON.stringify(row.outgoing),
      replace_key ?? null,
      now,
    );
  }

  /** Puts new content in place of a message that nobody has tried to send; its transaction id, or undefined. */
  replace(lane: string, replace_key: string, outgoing: Outgoing): string | undefined {
    const row = this.#db.get(
      `UPDATE outbox SET outgoing = ? WHERE seq = (SELECT max(seq) FROM outbox
         WHERE lane = ? AND replace_key = ? AND tried_by IS NULL) RETURNING txn_id`,
      JSON.stringify(outgoing),
      lane,
      replace_key,
    );
    return row && text(row, "txn_id");
  }

  get(txn_id: string): OutboxRow | undefined {
    const row = this.#db.get("SELECT * FROM outbox WHERE txn_id = ?", txn_id);
    return row && read(row);
  }

  all(): OutboxRow[] {
    return this.#db.all("SELECT * FROM outbox ORDER BY seq").map(read);
  }

  count(): number {
    return integer(this.#db.get("SELECT count(*) AS n FROM outbox") ?? {}, "n");
  }

  /** Notes who tries to send it, and what exactly when that is encrypted. */
  setTried(txn_id: string, device_id: string, prepared: string | null): void {
    this.#db.runPassing(
      "UPDATE outbox SET tried_by = ?, prepared = ? WHERE txn_id = ?",
      device_id,
      prepared,
      txn_id,
    );
  }

  clear(): void {
    this.#db.run("DELETE FROM outbox");
  }

  remove(txn_id: string): void {
    this.#db.runPassing("DELETE FROM outbox WHERE txn_id = ?", txn_id);
  }
}

function read(row: Record<string, unknown>): OutboxRow {
  return {
    txn_id: text(row, "txn_id"),
    lane: text(row, "lane"),
    outgoing: JSON.parse(text(row, "outgoing")),
    prepared: textOrNull(row, "prepared"),
    tried_by: textOrNull(row, "tried_by"),
  };
}
