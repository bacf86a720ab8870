import { describe, expect, it } from "vitest";
import type { StateView } from "../../src/rooms/levels.ts";
import { alice, bob, carol, move, room, verdict } from "../support/authorised.ts";

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
