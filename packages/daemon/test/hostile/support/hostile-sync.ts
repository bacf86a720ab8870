/** A homeserver that changes what a daemon is told by /sync. */
import type { FaultProxy } from "../../support/fault-proxy.ts";
import type { DeviceMessage } from "./account.ts";

export interface ServedEvent {
  type: string;
  sender: string;
  event_id: string;
  state_key?: string;
  content: unknown;
  origin_server_ts: number;
}

export interface ServedSync {
  next_batch: string;
  to_device?: { events: DeviceMessage[] };
  rooms?: { join?: Record<string, ServedRoom> };
}

interface ServedRoom {
  timeline?: { events: ServedEvent[]; limited?: boolean; prev_batch?: string };
}

type Change = (answer: ServedSync) => void;

export class HostileSync {
  readonly #changes = new Set<Change>();
  readonly #texts = new Map<string, string>();
  #forged = 0;

  /** Every poll that begins from now on may be changed, also by what is asked for while it waits. */
  constructor(proxy: FaultProxy) {
    proxy.on(({ method, path }) => {
      if (method !== "GET" || !path.includes("/v3/sync")) return undefined;
      return { kind: "rewrite", change: (answer) => ({ ...answer, body: this.#changed(answer.body) }) };
    });
  }

  /** Lets `change` see and change each answer, until the function it answers is called. */
  rewrite(change: Change): () => void {
    this.#changes.add(change);
    return () => this.#changes.delete(change);
  }

  /** Changes one answer; resolves when it was served. */
  next(change: Change): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const remove = this.rewrite((answer) => {
      change(answer);
      remove();
      resolve();
    });
    return promise;
  }

  /** Puts events of its own making into the next answer, before what is there; resolves when it was served. */
  inject(room: string, ...events: Omit<ServedEvent, "event_id" | "origin_server_ts">[]): Promise<void> {
    return this.next((answer) => {
      const served = events.map((event) => ({ ...this.#envelope(), ...event }));
      timelineOf(answer, room).unshift(...served);
    });
  }

  /** As `inject`, with a content that is this very text. */
  injectText(room: string, event: { type: string; sender: string }, content: string): Promise<void> {
    const envelope = this.#envelope();
    const marker = `content of ${envelope.event_id}`;
    return this.next((answer) => {
      this.#texts.set(JSON.stringify(marker), content);
      timelineOf(answer, room).unshift({ ...envelope, ...event, content: marker });
    });
  }

  #envelope(): { event_id: string; origin_server_ts: number } {
    return { event_id: `$forged-${process.pid}-${++this.#forged}`, origin_server_ts: Date.now() };
  }

  #changed(text: string): string {
    const body: ServedSync = JSON.parse(text);
    if (body.next_batch === undefined) return text;
    for (const change of [...this.#changes]) change(body);
    let changed = JSON.stringify(body);
    for (const [marker, content] of this.#texts) changed = changed.replace(marker, () => content);
    this.#texts.clear();
    return changed;
  }
}

export function timelineOf(answer: ServedSync, room: string): ServedEvent[] {
  const rooms = answer.rooms ?? {};
  const join = rooms.join ?? {};
  const joined = join[room] ?? {};
  const timeline = joined.timeline ?? { events: [], limited: false, prev_batch: answer.next_batch };
  answer.rooms = { ...rooms, join: { ...join, [room]: { ...joined, timeline } } };
  return timeline.events;
}
