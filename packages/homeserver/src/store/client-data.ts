import { isObject, type JsonObject } from "../http/json.ts";
import type { Database } from "./database.ts";

export interface AccountDataRow {
  room_id: string;
  type: string;
  content: string;
}

export interface ReceiptRow {
  user_id: string;
  type: string;
  /** Empty for a receipt that is not of a thread. */
  thread_id: string;
  event_id: string;
  ts: number;
}

export interface UnreadRow {
  notify: number;
  highlight: number;
  pos: number;
}

const IGNORED = "m.ignored_user_list";
const IGNORED_CACHE = 1_000;

/** What clients keep on the server: filters, account data, receipts, unread counts, transaction ids. */
export class ClientDataStore {
  readonly #db: Database;
  /** Whom users ignore, for those who were asked about last. */
  readonly #ignored = new Map<string, ReadonlySet<string>>();

  constructor(db: Database) {
    this.#db = db;
    db.onReset(() => this.#ignored.clear());
  }

  addFilter(userId: string, definition: string): number {
    const known = this.#db.get<{ filter_id: number }>(
      "SELECT filter_id FROM filters WHERE user_id = ? AND definition = ?",
      userId,
      definition,
    );
    if (known !== undefined) return known.filter_id;
    const last = this.#db.get<{ id: number | null }>(
      "SELECT MAX(filter_id) AS id FROM filters WHERE user_id = ?",
      userId,
    );
    const id = (last?.id ?? 0) + 1;
    this.#db.run("INSERT INTO filters VALUES (?, ?, ?)", userId, id, definition);
    return id;
  }

  filter(userId: string, filterId: number): string | undefined {
    return this.#db.get<{ definition: string }>(
      "SELECT definition FROM filters WHERE user_id = ? AND filter_id = ?",
      userId,
      filterId,
    )?.definition;
  }

  /** The answer that a transaction id of this device had, within `scope` (method and path). */
  transaction(userId: string, deviceId: string, scope: string, txnId: string): string | undefined {
    return this.#db.get<{ response: string }>(
      "SELECT response FROM transactions WHERE user_id = ? AND device_id = ? AND scope = ? AND txn_id = ?",
      userId,
      deviceId,
      scope,
      txnId,
    )?.response;
  }

  addTransaction(
    userId: string,
    deviceId: string,
    scope: string,
    txnId: string,
    response: string,
    ts: number,
  ): void {
    this.#db.run(
      "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)",
      userId,
      deviceId,
      scope,
      txnId,
      response,
      ts,
    );
  }

  /** Forgets the old transaction ids of to-device messages; those of events are kept as long as the device. */
  deleteToDeviceTransactionsBefore(ts: number): void {
    this.#db.run("DELETE FROM transactions WHERE ts < ? AND scope LIKE 'sendToDevice %'", ts);
  }

  accountData(userId: string, roomId: string, type: string): JsonObject | undefined {
    const row = this.#db.get<{ content: string }>(
      "SELECT content FROM account_data WHERE user_id = ? AND room_id = ? AND type = ?",
      userId,
      roomId,
      type,
    );
    return row === undefined ? undefined : (JSON.parse(row.content) as JsonObject);
  }

  /** `roomId` is empty for global account data. */
  setAccountData(userId: string, roomId: string, type: string, content: JsonObject, pos: number): void {
    this.#db.run(
      `INSERT INTO account_data VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET content = excluded.content, pos = excluded.pos`,
      userId,
      roomId,
      type,
      JSON.stringify(content),
      pos,
    );
    if (type !== IGNORED) return;
    this.#ignored.delete(userId);
    this.#db.afterRollback(() => this.#ignored.delete(userId));
  }

  ignoredUsers(userId: string): ReadonlySet<string> {
    const known = this.#ignored.get(userId);
    if (known !== undefined) return known;
    const list = this.accountData(userId, "", IGNORED)?.ignored_users;
    const ignored = new Set(isObject(list) ? Object.keys(list) : []);
    if (this.#ignored.size >= IGNORED_CACHE) this.#ignored.clear();
    this.#ignored.set(userId, ignored);
    return ignored;
  }

  accountDataSince(userId: string, after: number, upTo: number): AccountDataRow[] {
    return this.#db.all<AccountDataRow>(
      "SELECT room_id, type, content FROM account_data WHERE user_id = ? AND pos > ? AND pos <= ? ORDER BY pos",
      userId,
      after,
      upTo,
    );
  }

  roomAccountData(userId: string, roomId: string): AccountDataRow[] {
    return this.#db.all<AccountDataRow>(
      "SELECT room_id, type, content FROM account_data WHERE user_id = ? AND room_id = ? ORDER BY type",
      userId,
      roomId,
    );
  }

  setReceipt(roomId: string, receipt: ReceiptRow, pos: number): void {
    this.#db.run(
      `INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET event_id = excluded.event_id, ts = excluded.ts, pos = excluded.pos`,
      roomId,
      receipt.user_id,
      receipt.type,
      receipt.thread_id,
      receipt.event_id,
      receipt.ts,
      pos,
    );
  }

  receipt(roomId: string, userId: string, type: string, threadId: string): ReceiptRow | undefined {
    return this.#db.get<ReceiptRow>(
      "SELECT user_id, type, thread_id, event_id, ts FROM receipts WHERE room_id = ? AND user_id = ? AND type = ? AND thread_id = ?",
      roomId,
      userId,
      type,
      threadId,
    );
  }

  /** The rooms in which somebody read on within the range. */
  roomsWithReceipts(after: number, upTo: number): Set<string> {
    const rows = this.#db.all<{ room_id: string }>(
      "SELECT DISTINCT room_id FROM receipts WHERE pos > ? AND pos <= ?",
      after,
      upTo,
    );
    return new Set(rows.map((row) => row.room_id));
  }

  receiptsSince(roomId: string, after: number, upTo: number): ReceiptRow[] {
    return this.#db.all<ReceiptRow>(
      "SELECT user_id, type, thread_id, event_id, ts FROM receipts WHERE room_id = ? AND pos > ? AND pos <= ? ORDER BY pos",
      roomId,
      after,
      upTo,
    );
  }

  unread(userId: string, roomId: string): UnreadRow {
    return (
      this.#db.get<UnreadRow>(
        "SELECT notify, highlight, pos FROM unread WHERE user_id = ? AND room_id = ?",
        userId,
        roomId,
      ) ?? { notify: 0, highlight: 0, pos: 0 }
    );
  }

  addUnread(userId: string, roomId: string, highlight: boolean, pos: number): void {
    this.#db.run(
      `INSERT INTO unread VALUES (?1, ?2, 1, ?3, ?4)
       ON CONFLICT DO UPDATE SET notify = notify + 1, highlight = highlight + ?3, pos = ?4`,
      userId,
      roomId,
      highlight ? 1 : 0,
      pos,
    );
  }

  setUnread(userId: string, roomId: string, counts: UnreadRow): void {
    this.#db.run(
      `INSERT INTO unread VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET notify = excluded.notify, highlight = excluded.highlight, pos = excluded.pos`,
      userId,
      roomId,
      counts.notify,
      counts.highlight,
      counts.pos,
    );
  }
}
