import type { MatrixClient } from "matrix-js-sdk/lib/client.js";
import { Method } from "matrix-js-sdk/lib/http-api/method.js";
import type { Gap, SyncTable } from "../state/sync-store.ts";
import { Changes } from "./changes.ts";
import { messagesFilter } from "./filter.ts";
import { refusalOf } from "./homeserver-error.ts";
import type { Intake } from "./intake.ts";
import { parseEvent, type RawEvent } from "./sync-response.ts";
import { describe, isRecord, type Logger } from "./types.ts";

/** Pages of 100 events that are fetched for one gap, at most. */
export const MAX_PAGES = 20;
const PAGE = 100;
const RETRY_MS = 5_000;

export interface BackfillOptions {
  client: MatrixClient;
  sync: SyncTable;
  intake: Intake;
  logger: Logger;
  /** Something was stored. */
  onStored: () => void;
  retryMs?: number;
}

/**
 * Fetches what a limited timeline left out. Gaps are kept until they are filled, over restarts; those of one room one
 * after another, and a room that cannot be read now holds up no other.
 */
export class Backfill {
  readonly #options: BackfillOptions;
  readonly #closed = new AbortController();
  readonly #notes = new Map<string, string>();
  /** When a room that failed is tried again, by performance.now(). */
  readonly #paused = new Map<string, number>();
  readonly #news = new Changes();
  #running: Promise<void> | undefined;

  constructor(options: BackfillOptions) {
    this.#options = options;
  }

  /** There may be a gap. */
  kick(): void {
    if (this.#options.sync.gaps().length === 0) return;
    this.#news.announce();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** One line for each room whose gap was too long to be filled whole. */
  notes(): string[] {
    return [...this.#notes.values()];
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { sync, logger, retryMs = RETRY_MS } = this.#options;
    while (!this.#closed.signal.aborted) {
      const gaps = sync.gaps();
      if (gaps.length === 0) return;
      const gap = gaps.find(({ room_id }) => (this.#paused.get(room_id) ?? 0) <= performance.now());
      if (gap === undefined) {
        const next = Math.min(...gaps.map(({ room_id }) => this.#paused.get(room_id) ?? 0));
        const { signal } = this.#closed;
        await this.#news.next(signal, Math.max(next - performance.now(), 1)).catch(() => undefined);
        continue;
      }
      try {
        await this.#fill(gap);
        this.#paused.delete(gap.room_id);
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        if (refusalOf(error)) {
          logger.warn(
            { room_id: gap.room_id, error: describe(error) },
            "missed events may not be read; given up",
          );
          sync.closeGap(gap.id);
          continue;
        }
        logger.warn(
          { room_id: gap.room_id, error: describe(error) },
          "missed events could not be fetched; trying again",
        );
        this.#paused.set(gap.room_id, performance.now() + retryMs);
      }
    }
  }

  /** Pages are collected first: they come newest first, and events are to be worked on oldest first. */
  async #fill(gap: Gap): Promise<void> {
    const { intake, logger, onStored } = this.#options;
    const events: RawEvent[] = [];
    let from: string | undefined = gap.prev_batch;
    let pages = 0;
    while (from !== undefined && pages < MAX_PAGES) {
      const page = await this.#page(gap, from);
      events.push(...page.events);
      from = page.end === from ? undefined : page.end;
      pages++;
    }
    if (from !== undefined) {
      const note = `more than ${MAX_PAGES * PAGE} events were missed in ${gap.room_id}; the oldest of them are lost`;
      this.#notes.set(gap.room_id, note);
      logger.error({ room_id: gap.room_id }, note);
    }
    if (this.#closed.signal.aborted) return;
    intake.commitGap(gap, events.reverse());
    logger.info({ room_id: gap.room_id, events: events.length, pages }, "missed events fetched");
    onStored();
  }

  async #page(gap: Gap, from: string): Promise<{ events: RawEvent[]; end: string | undefined }> {
    const path = `/rooms/${encodeURIComponent(gap.room_id)}/messages`;
    const query = {
      dir: "b",
      from,
      to: gap.since,
      limit: String(PAGE),
      filter: JSON.stringify(messagesFilter),
    };
    const answer = await this.#options.client.http.authedRequest<unknown>(
      Method.Get,
      path,
      query,
      undefined,
      {
        abortSignal: this.#closed.signal,
        priority: "auto",
      },
    );
    if (!isRecord(answer) || !Array.isArray(answer.chunk))
      throw new Error("the answer to /messages makes no sense");
    const events = answer.chunk
      .flatMap((event) => parseEvent(event) ?? [])
      .filter((event) => event.event_id !== "");
    const more = typeof answer.end === "string" && answer.chunk.length > 0;
    return { events, end: more ? String(answer.end) : undefined };
  }
}
