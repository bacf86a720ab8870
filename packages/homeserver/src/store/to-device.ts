import type { Database } from "./database.ts";

export interface ToDeviceRow {
  pos: number;
  sender: string;
  type: string;
  content: string;
}

/** What of one sender waits for one device. */
interface Queue {
  count: number;
  bytes: number;
}

/** How much of one sender may wait for a device that does not fetch it. */
export interface QueueLimits {
  readonly messages: number;
  readonly bytes: number;
}

const defaultLimits: QueueLimits = { messages: 10_000, bytes: 32 * 1024 * 1024 };
const DEVICES_CACHE = 10_000;

/**
 * To-device messages that wait until their device says that it has them. None is ever dropped: a sender whose
 * share of a device's queue is full sends no more, and takes nobody else's room.
 */
export class ToDeviceStore {
  readonly #db: Database;
  readonly #limits: QueueLimits;
  /** By device, then by sender. */
  readonly #queues = new Map<string, Map<string, Queue>>();

  constructor(db: Database, limits: QueueLimits = defaultLimits) {
    this.#db = db;
    this.#limits = limits;
    db.onReset(() => this.#queues.clear());
  }

  /** Puts a message into a device's queue; false, and nothing is written, where the sender's share of it is full. */
  add(pos: number, userId: string, deviceId: string, sender: string, type: string, content: string): boolean {
    const senders = this.#senders(userId, deviceId);
    const queue = senders.get(sender) ?? { count: 0, bytes: 0 };
    const bytes = Buffer.byteLength(content);
    if (queue.count + 1 > this.#limits.messages || queue.bytes + bytes > this.#limits.bytes) return false;
    // What is undone must not be counted.
    this.#db.afterRollback(() => this.#forget(userId, deviceId));
    this.#db.run(
      "INSERT INTO to_device VALUES (?, ?, ?, ?, ?, ?)",
      pos,
      userId,
      deviceId,
      sender,
      type,
      content,
    );
    senders.set(sender, { count: queue.count + 1, bytes: queue.bytes + bytes });
    return true;
  }

  waiting(userId: string, deviceId: string, after: number, upTo: number, limit: number): ToDeviceRow[] {
    return this.#db.all<ToDeviceRow>(
      `SELECT pos, sender, type, content FROM to_device
       WHERE user_id = ? AND device_id = ? AND pos > ? AND pos <= ? ORDER BY pos LIMIT ?`,
      userId,
      deviceId,
      after,
      upTo,
      limit,
    );
  }

  hasAny(userId: string, deviceId: string, upTo: number): boolean {
    return (
      this.#db.get(
        "SELECT 1 FROM to_device WHERE user_id = ? AND device_id = ? AND pos <= ? LIMIT 1",
        userId,
        deviceId,
        upTo,
      ) !== undefined
    );
  }

  /** Deletes what the device has said that it got. */
  acknowledge(userId: string, deviceId: string, upTo: number): void {
    const senders = this.#senders(userId, deviceId);
    this.#db.afterRollback(() => this.#forget(userId, deviceId));
    const gone = this.#db.all<{ sender: string; bytes: number }>(
      `DELETE FROM to_device WHERE user_id = ? AND device_id = ? AND pos <= ?
       RETURNING sender, LENGTH(CAST(content AS BLOB)) AS bytes`,
      userId,
      deviceId,
      upTo,
    );
    for (const { sender, bytes } of gone) {
      const queue = senders.get(sender);
      if (queue === undefined) continue;
      queue.count -= 1;
      queue.bytes -= bytes;
      if (queue.count === 0) senders.delete(sender);
    }
  }

  deleteDevice(userId: string, deviceId: string): void {
    this.#forget(userId, deviceId);
    this.#db.run("DELETE FROM to_device WHERE user_id = ? AND device_id = ?", userId, deviceId);
  }

  #senders(userId: string, deviceId: string): Map<string, Queue> {
    const key = `${userId} ${deviceId}`;
    const known = this.#queues.get(key);
    if (known !== undefined) return known;
    const rows = this.#db.all<Queue & { sender: string }>(
      `SELECT sender, COUNT(*) AS count, SUM(LENGTH(CAST(content AS BLOB))) AS bytes FROM to_device
       WHERE user_id = ? AND device_id = ? GROUP BY sender`,
      userId,
      deviceId,
    );
    const senders = new Map(rows.map(({ sender, count, bytes }) => [sender, { count, bytes }]));
    if (this.#queues.size >= DEVICES_CACHE) this.#queues.clear();
    this.#queues.set(key, senders);
    return senders;
  }

  #forget(userId: string, deviceId: string): void {
    this.#queues.delete(`${userId} ${deviceId}`);
  }
}
