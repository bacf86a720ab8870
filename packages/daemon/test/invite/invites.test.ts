/** What an invitation is good for, and for whom: the inviter's daemon decides, and remembers it. */
import { EventTypes, encodePublicKey, formatTime, type InviteLink } from "@mx-agent/protocol";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newBoxKey, seal, unseal } from "../../src/invite/seal.ts";
import { eventOf, House, hostOf, type Inhabitant, linkFrom, ROOM, use } from "./support/house.ts";

let house: House;
let host: Inhabitant;
beforeEach(() => {
  house = new House();
  host = hostOf(house);
});
afterEach(() => house.close());

test("who has the link is let in, with the power to register, and both have the other's key", async () => {
  const builder = house.daemon("builder");
  const link = await linkFrom(host);
  expect(await use(builder, link)).toBe("let in");
  expect(house.members.get(builder.user_id)).toBe("join");
  expect(house.powers.get(builder.user_id)).toBe(50);
  expect(host.tables.trust.current(ROOM, "builder")).toMatchObject({
    user_id: builder.user_id,
    fingerprint: builder.identity.key.fingerprint,
  });
  expect(builder.tables.trust.current(ROOM, "laptop")).toMatchObject({
    user_id: host.user_id,
    fingerprint: host.identity.key.fingerprint,
  });
  expect(host.audit).toMatchObject([
    { kind: "invite", action: "created" },
    { kind: "invite", action: "used", agent_id: "builder" },
    { kind: "trust", action: "approved", agent_id: "builder" },
  ]);
});

test("no invitation's id is taken for an option where somebody types it", async () => {
  const links = await Promise.all(Array.from({ length: 300 }, () => linkFrom(host)));
  expect(links.filter(({ invite_id }) => invite_id.startsWith("-"))).toEqual([]);
});

test("a member is let in, and gets neither power nor trust", async () => {
  const guest = house.daemon("guest");
  expect(await use(guest, await linkFrom(host, { role: "member" }))).toBe("let in");
  expect(house.powers.get(guest.user_id)).toBeUndefined();
  expect(host.tables.trust.list(ROOM)).toEqual([]);
});

test("what goes over the homeserver shows neither secret, nor agent, nor key", async () => {
  const builder = house.daemon("builder");
  const link = await linkFrom(host);
  await use(builder, link);
  const wire = JSON.stringify(house.sent);
  expect(house.sent.length).toBeGreaterThanOrEqual(2);
  for (const secret of [link.secret, "agent_id", encodePublicKey(builder.identity.key.publicKey)])
    expect(wire).not.toContain(secret);
});

describe("a use is counted", () => {
  test("once for whoever it was, however often he asks", async () => {
    const builder = house.daemon("builder");
    const link = await linkFrom(host, { uses: 2 });
    expect(await use(builder, link)).toBe("let in");
    expect(await use(builder, link)).toBe("nothing to do");
    // As after a home that was lost half-way: the same account and key, and no memory of it.
    const again = house.daemon("builder");
    house.members.set(again.user_id, "invite");
    expect(await use(again, link)).toBe("let in");
    expect(host.invites.find(link.invite_id)).toMatchObject({ used: 1, uses: 2 });
  });

  test.each([1, 2, 3])("never beyond %i, with many at once", async (uses) => {
    const link = await linkFrom(host, { uses });
    const guests = Array.from({ length: 6 }, (_, at) => house.daemon(`guest${at}`));
    const ends = await Promise.all(guests.map((guest, at) => use(guest, link, `agent${at}`)));
    expect(ends.filter((end) => end === "let in")).toHaveLength(uses);
    expect(ends.filter((end) => end === "used")).toHaveLength(6 - uses);
    expect(host.invites.find(link.invite_id).used).toBe(uses);
    expect(host.tables.trust.list(ROOM)).toHaveLength(uses);
  });

  test("over a restart between counting and letting in, which is then made up for", async () => {
    const link = await linkFrom(host);
    const builder = house.daemon("builder");
    // The daemon ends as soon as it has counted: nothing of what follows happens.
    void host.invites.close();
    expect(await use(builder, link)).toBe("MX_NO_ANSWER");
    expect(host.invites.find(link.invite_id).used).toBe(1);
    expect(house.members.get(builder.user_id)).toBeUndefined();
    house.end(host);
    const restarted = hostOf(house, host.file);
    restarted.invites.resume();
    await expect.poll(() => house.members.get(builder.user_id)).toBe("invite");
    expect(await use(builder, link)).toBe("let in");
    expect(restarted.invites.find(link.invite_id).used).toBe(1);
  });
});

describe("an invitation does not work", () => {
  const ends = async (link: InviteLink, agent?: string) => use(house.daemon("builder"), link, agent);

  test("when it has expired, by the inviter's clock", async () => {
    const link = await linkFrom(host, { expires_ms: 1_000 });
    house.now += 1_000;
    expect(await ends(link)).toBe("expired");
  });

  test("when it was revoked, for whoever used it too", async () => {
    const link = await linkFrom(host, { uses: 2 });
    const first = house.daemon("first");
    expect(await use(first, link, "first")).toBe("let in");
    host.invites.revoke(link.invite_id);
    expect(await ends(link)).toBe("revoked");
    expect(host.invites.find(link.invite_id).used).toBe(1);
  });

  test("for who used it and whose key was revoked since: his power and his place do not come back by it", async () => {
    const link = await linkFrom(host);
    expect(await ends(link)).toBe("let in");
    host.tables.trust.revoke({ room_id: ROOM, agent_id: "builder", fingerprint: null });
    house.members.set("@builder:example.org", "leave");
    house.powers.delete("@builder:example.org");
    expect(await ends(link)).toBe("revoked");
    expect(house.members.get("@builder:example.org")).toBe("leave");
    expect(house.powers.size).toBe(1);
  });

  test("for a member who used it and was put out since; who left by himself comes back until it expires", async () => {
    const link = await linkFrom(host, { role: "member", expires_ms: 60_000 });
    const guest = () => use(house.daemon("guest"), link);
    expect(await guest()).toBe("let in");
    house.members.set("@guest:example.org", "leave");
    expect(await guest()).toBe("let in");
    house.members.set("@guest:example.org", "leave");
    house.putOut.set("@guest:example.org", host.user_id);
    expect(await guest()).toBe("revoked");
    house.putOut.clear();
    house.now += 60_000;
    expect(await guest()).toBe("expired");
  });

  test("for a name that is ours, or another key's; and the use is not lost", async () => {
    const link = await linkFrom(host, { uses: 2 });
    expect(await ends(link, "laptop")).toBe("name_taken");
    expect(await use(house.daemon("first"), link, "builder")).toBe("let in");
    expect(await ends(link, "builder")).toBe("name_taken");
    expect(await ends(link, "other")).toBe("let in");
  });

  test("for the inviter's own account", async () => {
    const link = await linkFrom(host);
    const self = house.daemon("laptop");
    house.deliverTo({
      ...self,
      receive: (event) => {
        host.receive(event);
        self.receive(event);
      },
    });
    expect(await use(self, link)).toBe("same_user");
    expect(host.invites.find(link.invite_id).used).toBe(0);
  });

  test("in the place of a key that the guest had approved for that name before", async () => {
    const link = await linkFrom(host);
    const builder = house.daemon("builder");
    const other = house.daemon("mallory").identity.key;
    builder.tables.trust.approve({
      ...{ room_id: ROOM, agent_id: "laptop", user_id: host.user_id, key_id: other.key_id },
      ...{ fingerprint: other.fingerprint, public_key: encodePublicKey(other.publicKey), legacy: false },
      ...{ approved_at: new Date(house.now).toISOString(), expires_at: null },
    });
    expect(await use(builder, link)).toBe("MX_BAD_INPUT");
    expect(house.sent).toEqual([]);
  });
});

describe("a proof is nothing", () => {
  /** A proof as a guest makes it, but for what is changed in it. */
  async function proofOf(change: {
    secret?: string;
    sender?: string;
    room?: string;
    public_key?: string;
    sealed_to?: string;
  }): Promise<InviteLink> {
    const link = await linkFrom(host);
    const mallory = house.daemon("mallory");
    const key = newBoxKey();
    const claim = mallory.identity.sign(change.room ?? ROOM, EventTypes.inviteProof, {
      invite_id: link.invite_id,
      secret: change.secret ?? link.secret,
      agent_id: "mallory",
      public_key: change.public_key ?? encodePublicKey(mallory.identity.key.publicKey),
      created_at: formatTime(house.now),
    });
    const proof = {
      invite_id: link.invite_id,
      sender_key: key.public_key,
      ...seal(claim, change.sealed_to ?? link.box_key, key),
    };
    host.receive(eventOf(change.sender ?? mallory.user_id, EventTypes.inviteProof, proof));
    return link;
  }
  const used = (link: InviteLink) => host.invites.find(link.invite_id).used;

  test("but with everything right it is one", async () => {
    expect(used(await proofOf({}))).toBe(1);
  });
  test("with another secret", async () => {
    expect(used(await proofOf({ secret: "AAAAAAAAAAAAAAAAAAAAAA" }))).toBe(0);
  });
  test("when somebody else sends a copy of it", async () => {
    expect(used(await proofOf({ sender: "@eve:example.org" }))).toBe(0);
  });
  test("signed for another room", async () => {
    expect(used(await proofOf({ room: "!other:example.org" }))).toBe(0);
  });
  test("with a key that did not sign it", async () => {
    const other = encodePublicKey(house.daemon("victim").identity.key.publicKey);
    expect(used(await proofOf({ public_key: other }))).toBe(0);
  });
  test("with a key of small order, whose signatures anybody can make", async () => {
    expect(used(await proofOf({ public_key: Buffer.alloc(32).toString("base64").replace("=", "") }))).toBe(0);
  });
  test("sealed to another key", async () => {
    expect(used(await proofOf({ sealed_to: newBoxKey().public_key }))).toBe(0);
  });

  test("when it is anything at all; and nobody is answered", async () => {
    const link = await linkFrom(host);
    const content = fc.record(
      {
        invite_id: fc.oneof(fc.constant(link.invite_id), fc.string()),
        sender_key: fc.oneof(fc.constant(link.box_key), fc.string()),
        nonce: fc.oneof(fc.constant(Buffer.alloc(24).toString("base64")), fc.string()),
        box: fc.oneof(fc.constant("AAAA"), fc.base64String(), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(content, fc.jsonValue()), (any) => {
        host.receive(eventOf("@eve:example.org", EventTypes.inviteProof, any));
      }),
    );
    expect(used(link)).toBe(0);
    expect(house.sent).toEqual([]);
  });
});

describe("sealing", () => {
  const [alice, bob, eve] = [newBoxKey(), newBoxKey(), newBoxKey()];

  test("is opened by its receiver, who knows its sender, and by nobody else", () => {
    const sealed = seal({ a: "ü" }, bob.public_key, alice);
    expect(unseal(sealed, alice.public_key, bob)).toEqual({ a: "ü" });
    expect(unseal(sealed, eve.public_key, bob)).toBeUndefined();
    expect(unseal(sealed, alice.public_key, eve)).toBeUndefined();
  });

  test("shows every change", () => {
    const sealed = seal({ a: 1 }, bob.public_key, alice);
    const bytes = Buffer.from(sealed.box, "base64");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect(unseal({ ...sealed, box: changed.toString("base64") }, alice.public_key, bob)).toBeUndefined();
    }
  });
});
