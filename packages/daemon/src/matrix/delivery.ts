import { setTimeout as sleep } from "node:timers/promises";
import { failpoint } from "@mx-agent/base";
import { type InboxRow, type InboxTable, MAX_ATTEMPTS } from "../state/inbox.ts";
import type { InboxListener, IncomingEvent, Transport } from "./api.ts";
import { describe, type Logger, OUR_TYPES } from "./types.ts";

export interface Decrypted {
  type: string;
  content: unknown;
  transport: Transport;
}

/** Decrypts a stored `m.room.encrypted` event; a string says why it can't be done yet. */
export type Decrypt = (row: InboxRow) => Promise<Decrypted | string>;

export interface DeliveryOptions {
  inbox: InboxTable;
  onEvent: InboxListener;
  decrypt: Decrypt;
  /** A decrypted event that is none of ours. */
  onOther?: (row: InboxRow, decrypted: Decrypted) => void;
  logger: Logger;
  /** First pause after the listener threw, milliseconds; it doubles. */
  retryMs?: number;
}

/** Hands the inbox's events to the listener, one after another, in order, until each is done. */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  #passing: Promise<void> = Promise.resolve();
  #again = false;
  #retryDecryption = true;
  /** Events come one by one: if one was in work when the process ended, it is the first that is left. */
  #suspect: number | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#suspect = options.inbox.next("pending")?.id;
  }

  /** Hands on what is not stored, in order, beside the inbox: what fails is gone. */
  pass(event: IncomingEvent): void {
    const { onEvent, logger } = this.#options;
    this.#passing = this.#passing
      .then(() => (this.#closed.signal.aborted ? undefined : onEvent(event)))
      .catch((error: unknown) =>
        logger.error({ type: event.type, error: describe(error) }, "a message could not be worked on"),
      );
  }

  /** There may be something to deliver. */
  kick(): void {
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Keys have come: what could not be decrypted is tried again. */
  keysArrived(): void {
    this.#retryDecryption = true;
    this.kick();
  }

  /** Resolves when the event that is being delivered is done; delivers no more. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
    await this.#passing;
  }

  async #run(): Promise<void> {
    const { inbox, logger } = this.#options;
    try {
      while (this.#again && !this.#closed.signal.aborted) {
        this.#again = false;
        if (this.#retryDecryption) await this.#tryUndecryptable();
        for (
          let row = inbox.next("pending");
          row && !this.#closed.signal.aborted;
          row = inbox.next("pending")
        ) {
          await this.#handle(row);
        }
      }
    } catch (error) {
      if (!this.#closed.signal.aborted)
        logger.error({ error: describe(error) }, "delivery of events stopped");
    }
  }

  async #handle(row: InboxRow): Promise<void> {
    const { inbox } = this.#options;
    if (row.id === this.#suspect) {
      this.#suspect = undefined;
      if (inbox.countAttempt(row.id) > MAX_ATTEMPTS)
        return this.#setAside(row, "the process ended each time");
    }
    if (row.transport !== null)
      return this.#deliver(row, row, JSON.parse(row.transport), JSON.parse(row.content));
    // One event that encryption stumbles over must not hold up the rest.
    const result = await this.#options.decrypt(row).catch(describe);
    if (typeof result === "string") {
      this.#options.logger.warn(
        { event_id: row.event_id, room_id: row.room_id, reason: result },
        "an event can't be decrypted yet",
      );
      return inbox.setStatus(row.id, "undecryptable");
    }
    if (!result.type.startsWith(OUR_TYPES)) {
      this.#options.onOther?.(row, result);
      return inbox.done(row.id);
    }
    return this.#deliver(row, result, result.transport, result.content);
  }

  async #deliver(
    row: InboxRow,
    { type }: { type: string },
    transport: Transport,
    content: unknown,
  ): Promise<void> {
    const { inbox, onEvent, logger, retryMs = 1_000 } = this.#options;
    const event: IncomingEvent = {
      kind: row.kind,
      inbox_id: row.id,
      room_id: row.room_id,
      event_id: row.event_id,
      sender: row.sender,
      type,
      ...(row.state_key !== null && { state_key: row.state_key }),
      content,
      origin_server_ts: row.origin_server_ts,
      backfilled: row.backfilled,
      transport,
      received_ts: row.received_ts,
    };
    for (let attempt = 0; ; attempt++) {
      try {
        failpoint("inbox.before_delivery");
        await onEvent(event);
        failpoint("inbox.before_done");
        inbox.done(row.id);
        failpoint("inbox.after_done");
        return;
      } catch (error) {
        logger.error(
          { event_id: row.event_id, type, error: describe(error) },
          "an event could not be worked on",
        );
        if (inbox.countAttempt(row.id) >= MAX_ATTEMPTS) return this.#setAside(row, describe(error));
        await sleep(retryMs * 2 ** attempt, undefined, { signal: this.#closed.signal });
      }
    }
  }

  #setAside(row: InboxRow, reason: string): void {
    this.#options.inbox.setStatus(row.id, "set_aside");
    this.#options.logger.error(
      { inbox_id: row.id, event_id: row.event_id, type: row.type, sender: row.sender, reason },
      "an event failed too often and is set aside",
    );
  }

  async #tryUndecryptable(): Promise<void> {
    this.#retryDecryption = false;
    const { inbox, decrypt } = this.#options;
    for (let row = inbox.next("undecryptable"); row; row = inbox.next("undecryptable", row.id)) {
      if (this.#closed.signal.aborted) return;
      const result = await decrypt(row).catch(describe);
      if (typeof result !== "string") inbox.setStatus(row.id, "pending");
    }
  }
}
