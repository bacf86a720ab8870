import { integer, text } from "./columns.ts";
import type { Database } from "./database.ts";

export const ownAgentsSchema = `
CREATE TABLE own_agents (
  room_id TEXT NOT NULL, agent_id TEXT NOT NULL, kind TEXT NOT NULL, cwd TEXT NOT NULL,
  capabilities TEXT NOT NULL, state_rev INTEGER NOT NULL, registered_ts INTEGER NOT NULL,
  PRIMARY KEY (room_id, agent_id)
) STRICT;
`;

/** Format 3: agents that another daemon of this user answers for. */
export const ownAgentsElsewhere = "ALTER TABLE own_agents ADD COLUMN elsewhere INTEGER NOT NULL DEFAULT 0;";

export interface OwnAgent {
  room_id: string;
  agent_id: string;
  kind: string;
  /** Where a request without a working directory runs; empty when none was given. */
  cwd: string;
  capabilities: string[];
  state_rev: number;
}

/** The agents that this daemon answers for. */
export class OwnAgents {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  list(room_id?: string): OwnAgent[] {
    return this.#list(room_id ?? null, 0);
  }

  #list(room_id: string | null, elsewhere: 0 | 1): OwnAgent[] {
    return this.#db
      .all(
        `SELECT * FROM own_agents WHERE elsewhere = ?2 AND (?1 IS NULL OR room_id = ?1)
         ORDER BY registered_ts, agent_id`,
        room_id,
        elsewhere,
      )
      .map((row) => ({
        room_id: text(row, "room_id"),
        agent_id: text(row, "agent_id"),
        kind: text(row, "kind"),
        cwd: text(row, "cwd"),
        capabilities: parseStrings(text(row, "capabilities")),
        state_rev: integer(row, "state_rev"),
      }));
  }

  find(room_id: string, agent_id: string): OwnAgent | undefined {
    return this.list(room_id).find((agent) => agent.agent_id === agent_id);
  }

  /** Also those that the room says another daemon answers for: who names this daemon's key means it all the same. */
  registered(room_id: string): OwnAgent[] {
    return [...this.#list(room_id, 0), ...this.#list(room_id, 1)];
  }

  findRegistered(room_id: string, agent_id: string): OwnAgent | undefined {
    return this.registered(room_id).find((agent) => agent.agent_id === agent_id);
  }

  /** Another daemon answers for it, until it is registered here again. */
  leave(room_id: string, agent_id: string): void {
    this.#db.run("UPDATE own_agents SET elsewhere = 1 WHERE room_id = ? AND agent_id = ?", room_id, agent_id);
  }

  put(agent: OwnAgent, now: number): void {
    this.#db.run(
      `INSERT INTO own_agents VALUES (?, ?, ?, ?, ?, ?, ?, 0)
       ON CONFLICT (room_id, agent_id) DO UPDATE SET kind = excluded.kind, cwd = excluded.cwd,
         capabilities = excluded.capabilities, state_rev = excluded.state_rev, elsewhere = 0`,
      agent.room_id,
      agent.agent_id,
      agent.kind,
      agent.cwd,
      JSON.stringify(agent.capabilities),
      agent.state_rev,
      now,
    );
  }

  remove(room_id: string, agent_id: string): void {
    this.#db.run("DELETE FROM own_agents WHERE room_id = ? AND agent_id = ?", room_id, agent_id);
  }

  /** Of another account they are no agents any more. */
  clear(): void {
    this.#db.run("DELETE FROM own_agents");
  }
}

function parseStrings(json: string): string[] {
  const value: unknown = JSON.parse(json);
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
