import { describe, expect, it } from "vitest";
import type { StateView } from "../../src/rooms/levels.ts";
import { alice, bob, type Content, carol, move, room, verdict } from "../support/authorised.ts";

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
