import { describe, expect, it } from "vitest";
import { alice, bob, type Content, carol, levels, room } from "../support/authorised.ts";

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
