import { expect } from "vitest";
import { authorise, type ProposedEvent } from "../../src/rooms/auth.ts";
import type { StateView } from "../../src/rooms/levels.ts";

export const alice = "@alice:localhost";
export const bob = "@bob:localhost";
export const carol = "@carol:localhost";

export type Content = Record<string, unknown>;

/** A room that alice made; what the test says of it stands over what a new room has. */
class Room implements StateView {
  readonly #state = new Map<string, { sender: string; content: Content }>();

  constructor() {
    this.set("m.room.create", "", { room_version: "11" });
    this.member(alice, "join");
    this.levels({});
  }

  get(type: string, stateKey: string) {
    return this.#state.get(`${type} ${stateKey}`);
  }

  set(type: string, stateKey: string, content: Content, sender = alice): this {
    this.#state.set(`${type} ${stateKey}`, { sender, content });
    return this;
  }

  without(type: string): this {
    this.#state.delete(`${type} `);
    return this;
  }

  member(userId: string, membership: string): this {
    return this.set("m.room.member", userId, { membership });
  }

  rule(joinRule: string): this {
    return this.set("m.room.join_rules", "", { join_rule: joinRule });
  }

  levels(content: Content): this {
    return this.set("m.room.power_levels", "", { users: { [alice]: 100 }, ...content });
  }
}

/** A room that alice made. */
export const room = () => new Room();

/** The number of the rule that refused; `allowed` when none did. */
export function verdict(state: StateView, event: Partial<ProposedEvent> & { type: string }): string {
  const result = authorise({ stateKey: null, sender: alice, content: {}, ...event }, state);
  if (!result.allowed) expect(result.reason).not.toBe("");
  return result.allowed ? "allowed" : result.rule;
}

/** The verdict on a change of membership. */
export function move(
  state: StateView,
  sender: string,
  target: string,
  membership: string,
  more: Content = {},
): string {
  return verdict(state, {
    type: "m.room.member",
    stateKey: target,
    sender,
    content: { membership, ...more },
  });
}

/** The verdict on new power levels. */
export function levels(state: StateView, content: Content, sender = alice): string {
  return verdict(state, { type: "m.room.power_levels", stateKey: "", sender, content });
}
