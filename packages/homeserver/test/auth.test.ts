import { describe, expect, it } from "vitest";
import { authorise, type ProposedEvent } from "../src/rooms/auth.ts";
import type { StateView } from "../src/rooms/levels.ts";

const alice = "@alice:localhost";
const bob = "@bob:localhost";
const carol = "@carol:localhost";

type Content = Record<string, unknown>;

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

const room = () => new Room();

/** The number of the rule that refused; `allowed` when none did. */
function verdict(state: StateView, event: Partial<ProposedEvent> & { type: string }): string {
  const result = authorise({ stateKey: null, sender: alice, content: {}, ...event }, state);
  if (!result.allowed) expect(result.reason).not.toBe("");
  return result.allowed ? "allowed" : result.rule;
}

function move(
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

function levels(state: StateView, content: Content, sender = alice): string {
  return verdict(state, { type: "m.room.power_levels", stateKey: "", sender, content });
}

const nothing: StateView = { get: () => undefined };

describe("rule 1, m.room.create", () => {
  const create = (content: Content) => ({ type: "m.room.create", stateKey: "", content });

  it("lets the first event create the room", () => {
    expect(verdict(nothing, create({ room_version: "11" }))).toBe("allowed");
  });

  it("refuses a second one", () => {
    expect(verdict(room(), create({ room_version: "11" }))).toBe("1.1");
  });

  it("refuses a version that is not known", () => {
    expect(verdict(nothing, create({ room_version: "12" }))).toBe("1.3");
  });
});

it("rule 2.4: nothing happens in a room that was not created", () => {
  expect(verdict(nothing, { type: "m.room.message" })).toBe("2.4");
  expect(move(nothing, alice, alice, "join")).toBe("2.4");
});

describe("rule 4, m.room.member", () => {
  it("4.1: needs a state key and a membership", () => {
    expect(verdict(room(), { type: "m.room.member", content: { membership: "join" } })).toBe("4.1");
    expect(verdict(room(), { type: "m.room.member", stateKey: alice })).toBe("4.1");
    expect(verdict(room(), { type: "m.room.member", stateKey: alice, content: { membership: 1 } })).toBe(
      "4.1",
    );
  });

  it("4.2: refuses restricted joins, which this homeserver does not do", () => {
    const more = { join_authorised_via_users_server: alice };
    expect(move(room().rule("restricted"), bob, bob, "join", more)).toBe("4.2");
  });

  it("4.8: refuses a membership that is none", () => {
    expect(move(room(), alice, alice, "dance")).toBe("4.8");
  });

  describe("join", () => {
    it("4.3.1: the creator joins right after the creation", () => {
      const fresh: StateView = {
        get: (type) => (type === "m.room.create" ? { sender: alice, content: {} } : undefined),
      };
      expect(move(fresh, alice, alice, "join")).toBe("allowed");
      expect(move(fresh, bob, bob, "join")).toBe("4.3.4");
    });

    it("4.3.1: a creator who left does not come back by it", () => {
      expect(move(room().member(alice, "leave").rule("invite"), alice, alice, "join")).toBe("4.3.4");
    });

    it("4.3.2: nobody joins somebody else", () => {
      expect(move(room().rule("public"), alice, bob, "join")).toBe("4.3.2");
    });

    it("4.3.3: somebody banned stays out, of public rooms too", () => {
      expect(move(room().rule("public").member(bob, "ban"), bob, bob, "join")).toBe("4.3.3");
    });

    it.each(["invite", "knock"])("4.3.4: join rule %s lets in who is invited or in", (rule) => {
      expect(move(room().rule(rule), bob, bob, "join")).toBe("4.3.4");
      expect(move(room().rule(rule).member(bob, "leave"), bob, bob, "join")).toBe("4.3.4");
      expect(move(room().rule(rule).member(bob, "knock"), bob, bob, "join")).toBe("4.3.4");
      expect(move(room().rule(rule).member(bob, "invite"), bob, bob, "join")).toBe("allowed");
      expect(move(room().rule(rule).member(bob, "join"), bob, bob, "join")).toBe("allowed");
    });

    it.each(["restricted", "knock_restricted"])(
      "4.3.5: join rule %s lets in who is invited or in",
      (rule) => {
        expect(move(room().rule(rule), bob, bob, "join")).toBe("4.3.5");
        expect(move(room().rule(rule).member(bob, "invite"), bob, bob, "join")).toBe("allowed");
      },
    );

    it("4.3.6: a public room lets everybody in", () => {
      expect(move(room().rule("public"), bob, bob, "join")).toBe("allowed");
    });

    it("4.3.7: any other rule lets nobody in", () => {
      expect(move(room().rule("private").member(bob, "invite"), bob, bob, "join")).toBe("4.3.7");
    });

    it("a room without join rules is by invitation", () => {
      expect(move(room(), bob, bob, "join")).toBe("4.3.4");
    });
  });

  describe("invite", () => {
    it("4.4.1: refuses third-party invites, which need an identity server", () => {
      expect(move(room(), alice, bob, "invite", { third_party_invite: {} })).toBe("4.4.1");
    });

    it("4.4.2: whoever invites must be in the room", () => {
      expect(move(room(), bob, carol, "invite")).toBe("4.4.2");
      expect(move(room().member(bob, "invite"), bob, carol, "invite")).toBe("4.4.2");
    });

    it("4.4.3: who is in or banned can't be invited", () => {
      expect(move(room().member(bob, "join"), alice, bob, "invite")).toBe("4.4.3");
      expect(move(room().member(bob, "ban"), alice, bob, "invite")).toBe("4.4.3");
    });

    it("4.4.4, 4.4.5: needs the invite level", () => {
      const tight = room().member(bob, "join").levels({ invite: 50 });
      expect(move(tight, bob, carol, "invite")).toBe("4.4.5");
      expect(move(tight, alice, carol, "invite")).toBe("allowed");
      expect(move(room().member(bob, "join"), bob, carol, "invite")).toBe("allowed");
    });
  });

  describe("leave", () => {
    it.each(["join", "invite", "knock"])("4.5.1: whoever has %s may leave", (membership) => {
      expect(move(room().member(bob, membership), bob, bob, "leave")).toBe("allowed");
    });

    it.each(["leave", "ban"])("4.5.1: whoever has %s can't leave", (membership) => {
      expect(move(room().member(bob, membership), bob, bob, "leave")).toBe("4.5.1");
    });

    it("4.5.2: whoever kicks must be in the room", () => {
      expect(move(room().member(carol, "join"), bob, carol, "leave")).toBe("4.5.2");
    });

    it("4.5.3: lifting a ban needs the ban level", () => {
      const state = room().member(bob, "join").member(carol, "ban");
      expect(move(state.levels({ users: { [bob]: 50 }, ban: 60, kick: 10 }), bob, carol, "leave")).toBe(
        "4.5.3",
      );
      expect(move(state.levels({ users: { [bob]: 60 }, ban: 60 }), bob, carol, "leave")).toBe("allowed");
    });

    it("4.5.4, 4.5.5: kicking needs the kick level, and more power than the target has", () => {
      const state = room().member(bob, "join").member(carol, "join");
      expect(move(state.levels({ users: { [bob]: 49 } }), bob, carol, "leave")).toBe("4.5.5");
      expect(move(state.levels({ users: { [bob]: 50 } }), bob, carol, "leave")).toBe("allowed");
      expect(move(state.levels({ users: { [bob]: 50, [carol]: 50 } }), bob, carol, "leave")).toBe("4.5.5");
      expect(move(state.levels({ users: { [bob]: 51, [carol]: 50 } }), bob, carol, "leave")).toBe("allowed");
    });
  });

  describe("ban", () => {
    it("4.6.1: whoever bans must be in the room", () => {
      expect(move(room(), bob, carol, "ban")).toBe("4.6.1");
    });

    it("4.6.2, 4.6.3: needs the ban level, and more power than the target has", () => {
      const state = room().member(bob, "join").member(carol, "join");
      expect(move(state.levels({ users: { [bob]: 49 } }), bob, carol, "ban")).toBe("4.6.3");
      expect(move(state.levels({ users: { [bob]: 50 } }), bob, carol, "ban")).toBe("allowed");
      expect(move(state.levels({ users: { [bob]: 50, [carol]: 50 } }), bob, carol, "ban")).toBe("4.6.3");
      expect(move(room(), alice, "@never:there", "ban")).toBe("allowed");
    });
  });

  describe("knock", () => {
    it.each(["public", "invite", "restricted", "private"])(
      "4.7.1: join rule %s hears no knocking",
      (rule) => {
        expect(move(room().rule(rule), bob, bob, "knock")).toBe("4.7.1");
      },
    );

    it("4.7.2: nobody knocks for somebody else", () => {
      expect(move(room().rule("knock"), alice, bob, "knock")).toBe("4.7.2");
    });

    it("4.7.3: whoever is not there may knock", () => {
      expect(move(room().rule("knock"), bob, bob, "knock")).toBe("allowed");
      expect(move(room().rule("knock_restricted").member(bob, "leave"), bob, bob, "knock")).toBe("allowed");
    });

    it.each(["ban", "invite", "join"])("4.7.4: whoever has %s can't knock", (membership) => {
      expect(move(room().rule("knock").member(bob, membership), bob, bob, "knock")).toBe("4.7.4");
    });
  });
});

it.each(["leave", "invite", "ban", "knock"])("rule 5: somebody with %s sends nothing", (membership) => {
  expect(verdict(room().member(bob, membership), { type: "m.room.message", sender: bob })).toBe("5");
});

it("rule 6: a third-party invite needs the invite level", () => {
  const state = room().member(bob, "join").levels({ invite: 10 });
  const event = { type: "m.room.third_party_invite", stateKey: "token" };
  expect(verdict(state, { ...event, sender: bob })).toBe("6.1");
  expect(verdict(state, event)).toBe("allowed");
});

describe("rule 7, the level that an event needs", () => {
  const bobIn = () => room().member(bob, "join");

  it("messages need events_default, 0 unless it is set", () => {
    expect(verdict(bobIn(), { type: "m.room.message", sender: bob })).toBe("allowed");
    expect(verdict(bobIn().levels({ events_default: 1 }), { type: "m.room.message", sender: bob })).toBe("7");
  });

  it("state needs state_default, 50 unless it is set", () => {
    expect(verdict(bobIn(), { type: "m.room.topic", stateKey: "", sender: bob })).toBe("7");
    expect(
      verdict(bobIn().levels({ state_default: 0 }), { type: "m.room.topic", stateKey: "", sender: bob }),
    ).toBe("allowed");
  });

  it("a type of its own level needs that one", () => {
    const state = bobIn().levels({ events: { "m.room.topic": 0, "m.room.message": 7 }, users: { [bob]: 6 } });
    expect(verdict(state, { type: "m.room.topic", stateKey: "", sender: bob })).toBe("allowed");
    expect(verdict(state, { type: "m.room.message", sender: bob })).toBe("7");
  });

  it("a user without a level of their own has users_default", () => {
    const state = bobIn().levels({ users_default: 50 });
    expect(verdict(state, { type: "m.room.topic", stateKey: "", sender: bob })).toBe("allowed");
  });

  it("without power levels the creator has 100, others 0, and state needs 0", () => {
    const state = bobIn().without("m.room.power_levels");
    expect(verdict(state, { type: "m.room.topic", stateKey: "", sender: bob })).toBe("allowed");
    expect(move(state.member(carol, "join"), bob, carol, "ban")).toBe("4.6.3");
    expect(move(state, alice, carol, "ban")).toBe("allowed");
  });

  it("a type or user named like a property of every object has no level of its own", () => {
    expect(verdict(bobIn(), { type: "constructor", sender: bob })).toBe("allowed");
    expect(verdict(bobIn(), { type: "__proto__", stateKey: "", sender: bob })).toBe("7");
  });
});

it("rule 8: state whose key is a user is that user's alone", () => {
  const state = room().member(bob, "join").levels({ state_default: 0 });
  const own = { type: "com.example.status", sender: bob };
  expect(verdict(state, { ...own, stateKey: bob })).toBe("allowed");
  expect(verdict(state, { ...own, stateKey: alice })).toBe("8");
  expect(verdict(state, { ...own, stateKey: "@" })).toBe("8");
  expect(verdict(state, { ...own, stateKey: `_${alice}` })).toBe("allowed");
  expect(verdict(state, { type: "com.example.status", stateKey: bob })).toBe("8");
});

describe("rule 9, m.room.power_levels", () => {
  const bobHas = (level: number, more: Content = {}) =>
    room()
      .member(bob, "join")
      .levels({ users: { [alice]: 100, [bob]: level }, events: { "m.room.power_levels": 0 }, ...more });
  const kept = { users: { [alice]: 100, [bob]: 50 }, events: { "m.room.power_levels": 0 } };

  it.each(["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"])(
    "9.1: %s must be an integer",
    (name) => {
      for (const value of ["50", 1.5, null, true, {}]) expect(levels(room(), { [name]: value })).toBe("9.1");
    },
  );

  it("9.2: events and notifications are objects of integers", () => {
    for (const table of ["events", "notifications"]) {
      expect(levels(room(), { [table]: [] })).toBe("9.2");
      expect(levels(room(), { [table]: { x: "1" } })).toBe("9.2");
    }
  });

  it("9.3: users is an object of integers by user id", () => {
    expect(levels(room(), { users: "all" })).toBe("9.3");
    expect(levels(room(), { users: { [alice]: "100" } })).toBe("9.3");
    expect(levels(room(), { users: { alice: 100 } })).toBe("9.3");
  });

  it("9.4: the first power levels are free", () => {
    expect(levels(room().without("m.room.power_levels"), { users: { [bob]: 1000 } })).toBe("allowed");
  });

  it.each(["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"])(
    "9.5: %s is changed by those who have its old and its new level",
    (name) => {
      expect(levels(bobHas(50), { ...kept, [name]: 50 }, bob)).toBe("allowed");
      expect(levels(bobHas(50), { ...kept, [name]: 51 }, bob)).toBe("9.5");
      expect(levels(bobHas(50, { [name]: 51 }), { ...kept, [name]: 0 }, bob)).toBe("9.5");
      expect(levels(bobHas(50, { [name]: 51 }), kept, bob)).toBe("9.5");
      expect(levels(bobHas(50, { [name]: 50 }), kept, bob)).toBe("allowed");
      expect(levels(bobHas(50, { [name]: 51 }), { ...kept, [name]: 51 }, bob)).toBe("allowed");
    },
  );

  it.each(["events", "notifications"])("9.6, 9.7: entries of %s likewise", (table) => {
    const withEntry = (value?: number) => ({
      ...kept,
      [table]: { ...(table === "events" ? kept.events : {}), ...(value === undefined ? {} : { x: value }) },
    });
    const has = (value?: number) => room().member(bob, "join").levels(withEntry(value));
    expect(levels(has(), withEntry(50), bob)).toBe("allowed");
    expect(levels(has(), withEntry(51), bob)).toBe("9.7");
    expect(levels(has(51), withEntry(0), bob)).toBe("9.6");
    expect(levels(has(51), withEntry(), bob)).toBe("9.6");
    expect(levels(has(50), withEntry(), bob)).toBe("allowed");
  });

  it("9.8: who has as much power can't be changed or removed", () => {
    const state = bobHas(50, { users: { [alice]: 100, [bob]: 50, [carol]: 50 } });
    const change = (users: Content) =>
      levels(state, { ...kept, users: { [alice]: 100, [bob]: 50, ...users } }, bob);
    expect(change({ [carol]: 50 })).toBe("allowed");
    expect(change({ [carol]: 0 })).toBe("9.8");
    expect(change({})).toBe("9.8");
  });

  it("9.8: who has less can, and oneself too", () => {
    const state = bobHas(50, { users: { [alice]: 100, [bob]: 50, [carol]: 49 } });
    expect(levels(state, { ...kept, users: { [alice]: 100, [bob]: 50, [carol]: 0 } }, bob)).toBe("allowed");
    expect(levels(state, { ...kept, users: { [alice]: 100, [bob]: 10, [carol]: 49 } }, bob)).toBe("allowed");
    expect(levels(state, { ...kept, users: { [alice]: 100, [carol]: 49 } }, bob)).toBe("allowed");
  });

  it("9.9: nobody gives more than they have, themselves included", () => {
    const change = (users: Content) =>
      levels(bobHas(50), { ...kept, users: { [alice]: 100, [bob]: 50, ...users } }, bob);
    expect(change({ [carol]: 50 })).toBe("allowed");
    expect(change({ [carol]: 51 })).toBe("9.9");
    expect(change({ [bob]: 51 })).toBe("9.9");
  });

  it("a table key named like a property of every object is compared like any other", () => {
    const events = JSON.parse('{"m.room.power_levels":0,"__proto__":99}') as Content;
    expect(levels(bobHas(50), { ...kept, events }, bob)).toBe("9.7");
  });
});
