import { setTimeout as sleep } from "node:timers/promises";
import { failpoint } from "@mx-agent/base";
import { EventTypes } from "@mx-agent/protocol";
import { type InboxRow, type InboxTable, MAX_ATTEMPTS } from "../state/inbox.ts";
import type { GroupListener, InboxListener, IncomingEvent, Transport } from "./api.ts";
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
  /** Takes requests that follow one another, so that they share their commits; all of them, or it throws and has taken none. */
  onRequests?: GroupListener | undefined;
  decrypt: Decrypt;
  /** A decrypted event that is none of ours. */
  onOther?: (row: InboxRow, decrypted: Decrypted) => void;
  logger: Logger;
  /** First pause after the listener threw, milliseconds; it doubles. */
  retryMs?: number;
}

/** At most so many requests are handed on together. */
const GROUP = 16;

/** Hands the inbox's events to the listener, in order, until each is done: one after another, or requests together. */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  #passing: Promise<void> = Promise.resolve();
  #again = false;
  #retryDecryption = true;
  /** Those that may have been in work, together, when the process ended: one by one, to find which of them ended it. */
  readonly #alone: ReadonlySet<number>;
  /** The first that is left: if events came one by one, and one was in work when the process ended, it is that. */
  #suspect: number | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    const left = options.inbox.oldest("pending", GROUP);
    this.#alone = new Set(left);
    this.#suspect = left[0];
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
          await this.#deliver(await this.#takeFrom(row));
        }
      }
    } catch (error) {
      if (!this.#closed.signal.aborted)
        logger.error({ error: describe(error) }, "delivery of events stopped");
    }
  }

  /** This event, or the requests that begin with it; nothing where it is put away. */
  async #takeFrom(first: InboxRow): Promise<Taken[]> {
    const taken: Taken[] = [];
    for (
      let row: InboxRow | undefined = first;
      row && taken.length < GROUP;
      row = this.#options.inbox.next("pending", row.id)
    ) {
      const event = await this.#eventOf(row);
      if (!event) break;
      const isAlone = !isRequest(event) || this.#alone.has(row.id) || !this.#options.onRequests;
      if (taken.length === 0 || !isAlone) taken.push({ row, event });
      if (isAlone) break;
    }
    return taken;
  }

  /** undefined where it is put away: it waits for keys, is nobody's business, or has ended the process too often. */
  async #eventOf(row: InboxRow): Promise<IncomingEvent | undefined> {
    const { inbox } = this.#options;
    if (row.id === this.#suspect) {
      this.#suspect = undefined;
      if (inbox.countAttempt(row.id) > MAX_ATTEMPTS) {
        this.#setAside(row, "the process ended each time");
        return undefined;
      }
    }
    if (row.transport !== null)
      return eventOf(row, row.type, JSON.parse(row.transport), JSON.parse(row.content));
    // One event that encryption stumbles over must not hold up the rest.
    const result = await this.#options.decrypt(row).catch(describe);
    if (typeof result === "string") {
      this.#options.logger.warn(
        { event_id: row.event_id, room_id: row.room_id, reason: result },
        "an event can't be decrypted yet",
      );
      inbox.setStatus(row.id, "undecryptable");
      return undefined;
    }
    if (result.type.startsWith(OUR_TYPES)) return eventOf(row, result.type, result.transport, result.content);
    this.#options.onOther?.(row, result);
    inbox.done(row.id);
    return undefined;
  }

  /** Together, and where that fails each by itself: then it is known which of them it is. */
  async #deliver(taken: readonly Taken[]): Promise<void> {
    const { inbox, onRequests, logger } = this.#options;
    if (taken.length > 1 && onRequests) {
      try {
        failpoint("inbox.before_delivery");
        await onRequests(taken.map(({ event }) => event));
        failpoint("inbox.before_done");
        inbox.done(...taken.map(({ row }) => row.id));
        failpoint("inbox.after_done");
        return;
      } catch (error) {
        logger.warn(
          { events: taken.length, error: describe(error) },
          "requests could not be worked on together; each is tried by itself",
        );
      }
    }
    for (const one of taken) await this.#deliverOne(one);
  }

  async #deliverOne({ row, event }: Taken): Promise<void> {
    const { inbox, onEvent, logger, retryMs = 1_000 } = this.#options;
    for (let attempt = 0; ; attempt++) {
      this.#closed.signal.throwIfAborted();
      try {
        failpoint("inbox.before_delivery");
        await onEvent(event);
        failpoint("inbox.before_done");
        inbox.done(row.id);
        failpoint("inbox.after_done");
        return;
      } catch (error) {
        logger.error(
          { event_id: row.event_id, type: event.type, error: describe(error) },
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

interface Taken {
  row: InboxRow;
  event: IncomingEvent;
}

function isRequest({ kind, type }: IncomingEvent): boolean {
  return kind === "timeline" && (type === EventTypes.execRequest || type === EventTypes.callRequest);
}

function eventOf(row: InboxRow, type: string, transport: Transport, content: unknown): IncomingEvent {
  return {
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
}
