/** What users say about their presence. In memory only, and told to nobody who does not ask. */
export class Presence {
  readonly #users = new Map<string, { presence: string; statusMessage: string | undefined; ts: number }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  set(userId: string, presence: string, statusMessage: string | undefined): void {
    this.#users.set(userId, { presence, statusMessage, ts: this.#now() });
  }

  /** The body of GET /presence/{userId}/status. */
  get(userId: string): { presence: string; status_msg?: string; last_active_ago?: number } {
    const entry = this.#users.get(userId);
    if (entry === undefined) return { presence: "offline" };
    return {
      presence: entry.presence,
      ...(entry.statusMessage === undefined ? {} : { status_msg: entry.statusMessage }),
      last_active_ago: this.#now() - entry.ts,
    };
  }
}
