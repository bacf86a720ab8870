import type { SyncHealth } from "./api.ts";
import type { RateLimitGate } from "./gate.ts";
import type { Clock } from "./types.ts";

type Stage = Exclude<SyncHealth, { state: "rate_limited" }>;

/** How the session is, in the order of what matters most: ended, limited by the server, troubled, well. */
export class Health {
  readonly #gate: RateLimitGate;
  readonly #clock: Clock;
  #stage: Stage = { state: "degraded", detail: "the first sync is not done yet" };
  #last_sync_ts: number | null = null;

  constructor(gate: RateLimitGate, clock: Clock) {
    this.#gate = gate;
    this.#clock = clock;
  }

  get ended(): boolean {
    return this.#stage.state === "logged_out" || this.#stage.state === "stopped";
  }

  /** A sync has been committed. */
  synced(): void {
    this.#last_sync_ts = this.#clock();
    if (!this.ended) this.#stage = { state: "healthy" };
  }

  degraded(detail: string): void {
    if (!this.ended) this.#stage = { state: "degraded", detail };
  }

  /** Ends the session for good; only the first reason counts. */
  end(state: "stopped" | "logged_out", detail: string): void {
    if (!this.ended) this.#stage = { state, detail };
  }

  now(): SyncHealth & { last_sync_ts: number | null } {
    const retry_in_ms = this.#gate.remaining();
    const limited = retry_in_ms > 0 && !this.ended;
    const health: SyncHealth = limited ? { state: "rate_limited", retry_in_ms } : this.#stage;
    return { ...health, last_sync_ts: this.#last_sync_ts };
  }
}
