import type { Database } from "./database.ts";

export interface ToDeviceRow {
  pos: number;
  sender: string;
  type: string;
  content: string;
}

/** What waits for one device. */
interface Queue {
  count: number;
  bytes: number;
}

/** How much may wait for a device that does not fetch it; of more, the oldest goes. */
export interface QueueLimits {
  readonly messages: number;
  readonly bytes: number;
}

const defaultLimits: QueueLimits = { messages: 10_000, bytes: 32 * 1024 * 1024 };
const QUEUES_CACHE = 10_000;

/** To-device messages that wait until their device says that it has them. */
export class ToDeviceStore {
  readonly #db: Database;
  readonly #limits: QueueLimits;
  /** The sizes of the queues that grew last. */
  readonly #queues = new Map<string, Queue>();

  constructor(db: Database, limits: QueueLimits = defaultLimits) {
    this.#db = db;
    this.#limits = limits;
    db.onReset(() => this.#queues.clear());
  }

  add(pos: number, userId: string, deviceId: string, sender: string, type: string, content: string): void {
    const queue = this.#queue(userId, deviceId);
    this.#db.run(
      "INSERT INTO to_device VALUES (?, ?, ?, ?, ?, ?)",
      pos,
      userId,
      deviceId,
      sender,
      type,
      content,
    );
    queue.count += 1;
    queue.bytes += Buffer.byteLength(content);
    if (queue.count > this.#limits.messages || queue.bytes > this.#limits.bytes)
      this.#shrink(userId, deviceId);
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
    this.#forget(userId, deviceId);
    this.#db.run(
      "DELETE FROM to_device WHERE user_id = ? AND device_id = ? AND pos <= ?",
      userId,
      deviceId,
      upTo,
    );
  }

  deleteDevice(userId: string, deviceId: string): void {
    this.acknowledge(userId, deviceId, Number.MAX_SAFE_INTEGER);
  }

  #queue(userId: string, deviceId: string): Queue {
    const key = `${userId} ${deviceId}`;
    // What is undone must not be counted.
    this.#db.afterRollback(() => this.#queues.delete(key));
    const known = this.#queues.get(key);
    if (known !== undefined) return known;
    const queue = this.#db.get<Queue>(
      `SELECT COUNT(*) AS count, COALESCE(SUM(LENGTH(CAST(content AS BLOB))), 0) AS bytes FROM to_device
       WHERE user_id = ? AND device_id = ?`,
      userId,
      deviceId,
    ) ?? { count: 0, bytes: 0 };
    if (this.#queues.size >= QUEUES_CACHE) this.#queues.clear();
    this.#queues.set(key, queue);
    return queue;
  }

  /** Drops the oldest messages until three quarters of what may wait are left, so that it is seldom done. */
  #shrink(userId: string, deviceId: string): void {
    this.#db.run(
      `DELETE FROM to_device WHERE user_id = ?1 AND device_id = ?2 AND pos IN (
         SELECT pos FROM (
           SELECT pos, ROW_NUMBER() OVER later AS n, SUM(LENGTH(CAST(content AS BLOB))) OVER later AS size
           FROM to_device WHERE user_id = ?1 AND device_id = ?2 WINDOW later AS (ORDER BY pos DESC)
         ) WHERE n > ?3 OR size > ?4)`,
      userId,
      deviceId,
      Math.ceil(this.#limits.messages * 0.75),
      Math.ceil(this.#limits.bytes * 0.75),
    );
    this.#forget(userId, deviceId);
  }

  #forget(userId: string, deviceId: string): void {
    this.#queues.delete(`${userId} ${deviceId}`);
  }
}
