import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { failpoint, MxError, mxError } from "@mx-agent/base";
import type { Database } from "../state/database.ts";
import type { OutboxRow, OutboxTable } from "../state/outbox.ts";
import type { Outbox, OutboxOptions, Outgoing, RefusedListener } from "./api.ts";
import { refusalOf, toHomeserverError } from "./homeserver-error.ts";
import { type Clock, describe, type Logger, OUR_TYPES } from "./types.ts";

type OnSent = NonNullable<OutboxOptions["onSent"]>;

/** What goes over the wire: as it is, or encrypted. */
export interface Prepared {
  type: string;
  content: object;
}

export interface OutboxLink {
  /** Resolves when this message may be sent now: the first sync is done and its room is known. */
  admit(outgoing: Outgoing, signal: AbortSignal): Promise<void>;
  /** Encrypts it where that is due; null where it goes as it is. Throws an MxError when it never can. */
  encrypt(outgoing: Outgoing): Promise<Prepared | null>;
  /** Sends it; resolves to the event id (null for to-device) when the homeserver has confirmed it. */
  send(outgoing: Outgoing, prepared: Prepared, txn_id: string, signal: AbortSignal): Promise<string | null>;
}

export interface DurableOutboxOptions {
  db: Database;
  table: OutboxTable;
  link: OutboxLink;
  device_id: string;
  homeserver: string;
  clock: Clock;
  logger: Logger;
  /** First pause after a failure, milliseconds; it doubles up to half a minute. */
  retryMs?: number;
  /** How many bytes of volatile messages may wait. */
  volatileLimit?: number;
  /** How long `drained` waits, milliseconds. */
  drainMs?: number;
}

interface Item {
  txn_id: string;
  /** The message itself where it lives in memory alone. */
  volatile: { outgoing: Outgoing; bytes: number; prepared: Prepared | null } | null;
  onSent: OnSent[];
  /** It is encrypted and on its way, or over: the next one of its lane may follow. */
  underWay: PromiseWithResolvers<void>;
  settled: PromiseWithResolvers<void>;
}

const MAX_RETRY_MS = 30_000;
const DRAIN_MS = 30_000;
const VOLATILE_LIMIT = 16 * 1024 * 1024;
/** How many messages to one device are under way at once: they carry numbers, and a room's events do not. */
const DEVICE_IN_FLIGHT = 4;

/**
 * Sends each message until it is confirmed, in order for each lane: a room, or a device of a user. What is
 * durable is a row that is written with the caller's transaction; its transaction id makes repeats harmless.
 */
export class DurableOutbox implements Outbox {
  readonly #options: DurableOutboxOptions;
  readonly #closed = new AbortController();
  readonly #lanes = new Map<string, Item[]>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #refused: RefusedListener[] = [];
  #volatileBytes = 0;

  constructor(options: DurableOutboxOptions) {
    this.#options = options;
    this.#takeUp();
  }

  enqueue(outgoing: Outgoing, options: OutboxOptions = {}): void {
    const { db, table, clock } = this.#options;
    const lane = laneOf(outgoing);
    const { replace_key, onSent } = options;
    if (options.volatile) {
      this.#enqueueVolatile(lane, outgoing, onSent);
      return;
    }
    const replaced = db.transaction(() => {
      const existing = replace_key === undefined ? undefined : table.replace(lane, replace_key, outgoing);
      if (existing !== undefined) return existing;
      const txn_id = newTxnId();
      failpoint("outbox.before_enqueue");
      table.add({ txn_id, lane, outgoing }, replace_key, clock());
      failpoint("outbox.after_enqueue");
      this.#push(lane, {
        txn_id,
        volatile: null,
        ...promises(),
        onSent: onSent ? [onSent] : [],
      });
      return undefined;
    });
    if (replaced === undefined || !onSent) return;
    this.#lanes
      .get(lane)
      ?.find((item) => item.txn_id === replaced)
      ?.onSent.push(onSent);
  }

  onRefused(listener: RefusedListener): void {
    this.#refused.push(listener);
  }

  depth(): number {
    let volatile = 0;
    for (const items of this.#lanes.values())
      volatile += items.filter((item) => item.volatile !== null).length;
    return this.#options.table.count() + volatile;
  }

  async drained(): Promise<void> {
    const { drainMs = DRAIN_MS, homeserver: url } = this.#options;
    const waiting = [...this.#lanes.values()].flat().map((item) => item.settled.promise);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const detail = `${this.depth()} messages still wait to be sent`;
      const hint = "they are kept, and sent as soon as it can be reached";
      late.reject(mxError("MX_HOMESERVER_UNREACHABLE", { url, detail }, { hint }));
    }, drainMs);
    await Promise.race([Promise.all(waiting), late.promise]).finally(() => clearTimeout(timer));
  }

  /** Sends no more; what is not confirmed is taken up by the next session. Volatile messages are gone. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all(this.#running.values());
    for (const items of this.#lanes.values()) {
      for (const item of items) item.settled.resolve();
    }
  }

  /** What an earlier session left. Another device's transaction ids mean nothing to the server. */
  #takeUp(): void {
    const { db, table, device_id, logger } = this.#options;
    db.transaction(() => {
      for (const { txn_id, lane, outgoing, tried_by } of table.all()) {
        if (tried_by !== null && tried_by !== device_id && !isDeduplicated(outgoing)) {
          logger.warn(
            { type: outgoing.type, lane },
            "a message may have been sent by the device before; not repeated",
          );
          table.remove(txn_id);
          continue;
        }
        this.#push(lane, { txn_id, volatile: null, onSent: [], ...promises() });
      }
    });
  }

  #enqueueVolatile(lane: string, outgoing: Outgoing, onSent: OnSent | undefined): void {
    const { volatileLimit = VOLATILE_LIMIT } = this.#options;
    const bytes = JSON.stringify(outgoing).length;
    if (this.#volatileBytes + bytes > volatileLimit || this.#closed.signal.aborted) {
      const detail = "too much output waits to be sent";
      onSent?.({
        ok: false,
        error: mxError("MX_HOMESERVER_UNREACHABLE", { url: this.#options.homeserver, detail }),
      });
      return;
    }
    this.#volatileBytes += bytes;
    this.#push(lane, {
      txn_id: newTxnId(),
      volatile: { outgoing, bytes, prepared: null },
      onSent: onSent ? [onSent] : [],
      ...promises(),
    });
  }

  #push(lane: string, item: Item): void {
    const items = this.#lanes.get(lane);
    if (items) items.push(item);
    else this.#lanes.set(lane, [item]);
    // The caller's transaction is synchronous: when the microtask runs, the row is committed or gone.
    queueMicrotask(() => {
      if (this.#running.has(lane) || this.#closed.signal.aborted) return;
      this.#running.set(lane, this.#run(lane));
    });
  }

  async #run(lane: string): Promise<void> {
    const items = this.#lanes.get(lane) ?? [];
    const inFlight = lane.startsWith("device ") ? DEVICE_IN_FLIGHT : 1;
    const flying: Promise<void>[] = [];
    try {
      while (items.length > 0 && !this.#closed.signal.aborted) {
        const item = items[flying.length];
        if (item && flying.length < inFlight) {
          flying.push(this.#settle(item).finally(() => item.underWay.resolve()));
          await item.underWay.promise;
        } else {
          await flying.shift();
          this.#done(items.shift());
        }
      }
      if (items.length === 0) this.#lanes.delete(lane);
    } catch (error) {
      if (!this.#closed.signal.aborted) {
        this.#options.logger.error({ lane, error: describe(error) }, "a lane of the outbox stopped");
      }
    } finally {
      // Those that are under way end by the same abort.
      await Promise.allSettled(flying);
      this.#running.delete(lane);
    }
  }

  #done(item: Item | undefined): void {
    if (item?.volatile) this.#volatileBytes -= item.volatile.bytes;
    item?.settled.resolve();
  }

  /** Resolves when the message is confirmed, refused for good, or was rolled back by whoever wrote it. */
  async #settle(item: Item): Promise<void> {
    const { logger, homeserver, retryMs = 1_000 } = this.#options;
    for (let attempt = 0; ; attempt++) {
      this.#closed.signal.throwIfAborted();
      const row = item.volatile ? null : this.#options.table.get(item.txn_id);
      const outgoing = item.volatile?.outgoing ?? row?.outgoing;
      if (!outgoing) return;
      try {
        const event_id = await this.#attempt(item, outgoing);
        failpoint("outbox.before_confirmed");
        if (!item.volatile) this.#options.table.remove(item.txn_id);
        failpoint("outbox.after_confirmed");
        return report(item, { ok: true, event_id });
      } catch (error) {
        this.#closed.signal.throwIfAborted();
        const mx = toHomeserverError(error, homeserver);
        const details = { type: outgoing.type, lane: laneOf(outgoing), error: mx.message };
        if (isFinal(error)) {
          logger.error(details, "a message was refused for good and is dropped");
          if (!item.volatile) this.#drop(item, outgoing, mx);
          return report(item, { ok: false, error: mx });
        }
        logger.warn({ ...details, attempt }, "a message could not be sent; trying again");
        await sleep(Math.min(retryMs * 2 ** attempt, MAX_RETRY_MS), undefined, {
          signal: this.#closed.signal,
        });
      }
    }
  }

  #drop({ txn_id }: Item, outgoing: Outgoing, error: MxError): void {
    this.#options.db.transaction(() => {
      this.#options.table.remove(txn_id);
      for (const listener of this.#refused) listener(outgoing, error);
    });
  }

  async #attempt(item: Item, first: Outgoing): Promise<string | null> {
    const { link, table, device_id } = this.#options;
    await link.admit(first, this.#closed.signal);
    // While it waited, a newer message may have taken its place.
    const row = item.volatile ? undefined : table.get(item.txn_id);
    const outgoing = row?.outgoing ?? first;
    if (row) {
      failpoint("outbox.before_tried");
      // From here on nothing takes its place any more, also while it is being encrypted.
      table.setTried(item.txn_id, device_id, row.tried_by === device_id ? row.prepared : null);
    }
    const prepared = await this.#prepare(item, outgoing, row);
    item.underWay.resolve();
    failpoint("outbox.before_send");
    const { type, content } = outgoing;
    const event_id = await link.send(
      outgoing,
      prepared ?? { type, content },
      item.txn_id,
      this.#closed.signal,
    );
    failpoint("outbox.after_send");
    return event_id;
  }

  /** What was encrypted once is sent again as it was, as long as it is this device that did it. */
  async #prepare(item: Item, outgoing: Outgoing, row: OutboxRow | undefined): Promise<Prepared | null> {
    if (item.volatile) {
      item.volatile.prepared ??= await this.#options.link.encrypt(outgoing);
      return item.volatile.prepared;
    }
    const { device_id, link, table } = this.#options;
    if (row?.prepared && row.tried_by === device_id) return JSON.parse(row.prepared);
    const prepared = await link.encrypt(outgoing);
    if (prepared) table.setTried(item.txn_id, device_id, JSON.stringify(prepared));
    return prepared;
  }
}

function report(item: Item, outcome: Parameters<OnSent>[0]): void {
  for (const onSent of item.onSent) onSent(outcome);
}

function laneOf(outgoing: Outgoing): string {
  if (outgoing.kind === "to_device") return `device ${outgoing.user_id} ${outgoing.device_id}`;
  return `room ${outgoing.room_id}`;
}

/** Whether a receiver takes a second copy for what it is: state replaces itself, ours carry ids and nonces. */
function isDeduplicated(outgoing: Outgoing): boolean {
  return outgoing.kind === "state" || outgoing.type.startsWith(OUR_TYPES);
}

/** Whether to try again is useless: the server refused it, there is no such device or room, or we have a bug. */
function isFinal(error: unknown): boolean {
  if (error instanceof MxError) return error.code === "MX_NOT_FOUND" || error.code === "MX_INTERNAL";
  return refusalOf(error) !== undefined;
}

function promises(): Pick<Item, "underWay" | "settled"> {
  return { underWay: Promise.withResolvers(), settled: Promise.withResolvers() };
}

/** Unique for ever and unguessable: also where the database was restored from a copy. */
function newTxnId(): string {
  return `mx${randomBytes(16).toString("hex")}`;
}
