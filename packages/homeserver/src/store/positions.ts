import type { Database } from "./database.ts";

const RESERVE = 10_000;

/**
 * The stream position that everything shares. A ceiling is reserved on disk ahead of use, so a position
 * that a client was told never comes back after a restart, not even one that only typing had moved.
 */
export class Positions {
  readonly #db: Database;
  #last: number;
  #ceiling: number;

  constructor(db: Database) {
    this.#db = db;
    const row = db.get<{ value: number }>("SELECT value FROM meta WHERE key = 'position_ceiling'");
    this.#last = row?.value ?? 0;
    this.#ceiling = this.#last;
    db.onReset(() => {
      this.#ceiling = this.#last;
    });
  }

  /** The position that everything so far is at or below. */
  get last(): number {
    return this.#last;
  }

  next(): number {
    if (this.#last >= this.#ceiling) {
      const ceiling = this.#last + RESERVE;
      this.#db.transaction(() => {
        const before = this.#ceiling;
        this.#db.afterRollback(() => {
          this.#ceiling = before;
        });
        this.#db.run(
          "INSERT INTO meta VALUES ('position_ceiling', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
          ceiling,
        );
        this.#ceiling = ceiling;
      });
    }
    this.#last += 1;
    return this.#last;
  }
}
