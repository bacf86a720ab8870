interface Entry {
  readonly presence: string;
  readonly statusMessage: string | undefined;
  /** When the user was last online; milliseconds since the epoch. */
  readonly lastActive: number | undefined;
}

/** What users say about their presence. In memory only, and told to nobody who does not ask. */
export class Presence {
  readonly #users = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  set(userId: string, presence: string, statusMessage: string | undefined): void {
    const lastActive = presence === "online" ? this.#now() : this.#users.get(userId)?.lastActive;
    this.#users.set(userId, { presence, statusMessage, lastActive });
  }

  /** The body of GET /presence/{userId}/status. */
  get(userId: string): { presence: string; status_msg?: string; last_active_ago?: number } {
    const entry = this.#users.get(userId);
    if (entry === undefined) return { presence: "offline" };
    return {
      presence: entry.presence,
      ...(entry.statusMessage === undefined ? {} : { status_msg: entry.statusMessage }),
      ...(entry.lastActive === undefined ? {} : { last_active_ago: this.#now() - entry.lastActive }),
    };
  }
}
