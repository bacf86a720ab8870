import { setTimeout as sleep } from "node:timers/promises";
import { isRecord } from "./types.ts";

/** Servers limit kinds of request, not clients: that messages must wait is no reason not to read. */
export type RequestClass = "sync" | "message" | "to_device" | "keys" | "media" | "other";

const DEFAULT_WAIT_MS = 5_000;
const MIN_WAIT_MS = 250;
/** Past 2^31 ms a timer fires at once, and no server means more than an hour. */
const MAX_WAIT_MS = 3_600_000;

/** Which limit a request of the Client-Server API falls under. */
export function requestClass(method: string, path: string): RequestClass {
  if (path.endsWith("/sync")) return "sync";
  if (path.includes("/sendToDevice/")) return "to_device";
  if (/\/keys\/(query|claim|upload|changes|signatures\/upload)/.test(path)) return "keys";
  if (path.includes("/media/")) return "media";
  if (method === "PUT" && /\/rooms\/[^/]+\/(send|state|redact)\//.test(path)) return "message";
  return "other";
}

/** How long an answer of HTTP 429 asks us to wait, milliseconds: Retry-After, else retry_after_ms. */
export function retryAfterMs(header: string | null, body: string, now: number): number {
  const asked = fromHeader(header, now) ?? fromBody(body) ?? DEFAULT_WAIT_MS;
  return Math.min(Math.max(asked, MIN_WAIT_MS), MAX_WAIT_MS);
}

function fromHeader(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : date - now;
}

function fromBody(body: string): number | undefined {
  try {
    const value: unknown = JSON.parse(body);
    if (!isRecord(value) || typeof value.retry_after_ms !== "number") return undefined;
    return Number.isFinite(value.retry_after_ms) ? Math.ceil(value.retry_after_ms) : undefined;
  } catch {
    return undefined;
  }
}

/** Every request of the session passes here, and waits while the server has told its kind to. */
export class RateLimitGate {
  readonly #until = new Map<RequestClass, number>();
  readonly #clock: () => number;

  /** `clock`: milliseconds, never going backwards. */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  close(kind: RequestClass, ms: number): void {
    this.#until.set(kind, Math.max(this.#until.get(kind) ?? 0, this.#clock() + ms));
  }

  /** Milliseconds until nothing waits any more; 0 when nothing does. */
  remaining(): number {
    return Math.max(0, ...[...this.#until.values()].map((until) => Math.ceil(until - this.#clock())));
  }

  /** Resolves when requests of that kind may be sent; rejects when the signal aborts. */
  async pass(kind: RequestClass, signal?: AbortSignal | null): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const wait = (this.#until.get(kind) ?? 0) - this.#clock();
      if (wait <= 0) return;
      await sleep(Math.ceil(wait), undefined, signal ? { signal } : {});
    }
  }
}
