import { text } from "./columns.ts";
import type { Database } from "./database.ts";

export const settingsSchema = `
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
`;

/** Single values: the account's credentials, the latest time ever seen. JSON, parsed by who asks. */
export class Settings {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(key: string): unknown {
    const row = this.#db.get("SELECT value FROM settings WHERE key = ?", key);
    return row ? JSON.parse(text(row, "value")) : undefined;
  }

  set(key: string, value: unknown): void {
    this.#db.run(
      "INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      key,
      JSON.stringify(value),
    );
  }

  delete(key: string): void {
    this.#db.run("DELETE FROM settings WHERE key = ?", key);
  }
}
