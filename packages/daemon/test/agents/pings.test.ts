import { EventTypes } from "@mx-agent/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Pings } from "../../src/agents/pings.ts";
import { Identity } from "../../src/identity.ts";
import type { Outgoing } from "../../src/matrix/api.ts";
import {
  ALICE,
  aliceKey,
  approval,
  BUILDER,
  builderKey,
  eventOf,
  NOW,
  ROOM,
  strangerKey,
} from "../admit/support.ts";

const account = (user_id: string) => ({ user_id, device_id: "OTHER", homeserver: "" });

/** The builder, with two agents, and what it sends. */
function builder(now = () => NOW) {
  const sent: Outgoing[] = [];
  const pings = new Pings({
    identity: new Identity(builderKey, account(BUILDER)),
    trust: {
      find: (_: string, agent_id: string, key_id: string) =>
        key_id === aliceKey.key_id && agent_id === "laptop" ? approval({ user_id: BUILDER }) : undefined,
    },
    ownAgents: {
      find: (_: string, agent_id: string) => (/^builder2?$/.test(agent_id) ? {} : undefined),
    },
    rooms: { isJoined: () => true, get: () => undefined },
    outbox: { enqueue: (one: Outgoing) => void sent.push(one) },
    now,
  } as unknown as ConstructorParameters<typeof Pings>[0]);
  return { pings, sent };
}

function pingOf(key: typeof builderKey, sender: string, nonce = "n", target_agent = "builder") {
  const content = { from_agent: "laptop", target_agent, nonce, ts: NOW };
  const signed = new Identity(key, account(sender)).sign<object>(ROOM, EventTypes.ping, content);
  return eventOf(signed, { kind: "to_device", type: EventTypes.ping, sender, room_id: null });
}

/** A ping to the builder, signed by that key of that user, and who is answered. */
function pinged(key: typeof builderKey, sender: string): string[] {
  const { pings, sent } = builder();
  pings.onEvent(pingOf(key, sender));
  return sent.map(({ type }) => type);
}

test("another daemon of the same user is answered, once its key is approved", () => {
  expect(pinged(aliceKey, BUILDER)).toEqual([EventTypes.pong]);
  expect(pinged(strangerKey, BUILDER)).toEqual([]);
});

test("an agent of this very daemon is answered", () => {
  expect(pinged(builderKey, BUILDER)).toEqual([EventTypes.pong]);
});

describe("who asks again within a second", () => {
  beforeEach(() => void vi.useFakeTimers({ now: NOW }));
  afterEach(() => void vi.useRealTimers());
  const noncesOf = (sent: Outgoing[]) => sent.map(({ content }) => (content as { nonce: string }).nonce);

  test("is answered once the second is over, the last time that he asked alone", () => {
    const { pings, sent } = builder(Date.now);
    for (const nonce of ["first", "second", "third"]) pings.onEvent(pingOf(aliceKey, BUILDER, nonce));
    expect(noncesOf(sent)).toEqual(["first"]);
    vi.advanceTimersByTime(999);
    expect(noncesOf(sent)).toEqual(["first"]);
    vi.advanceTimersByTime(1);
    expect(noncesOf(sent)).toEqual(["first", "third"]);
    vi.advanceTimersByTime(10_000);
    expect(sent).toHaveLength(2);
  });

  test("for another agent of the same machine is answered at once", () => {
    const { pings, sent } = builder(Date.now);
    pings.onEvent(pingOf(aliceKey, BUILDER, "one", "builder"));
    pings.onEvent(pingOf(aliceKey, BUILDER, "two", "builder2"));
    expect(noncesOf(sent)).toEqual(["one", "two"]);
  });

  test("while he still waits sends nothing more, and both hear the one answer", async () => {
    const { pings, sent } = builder(Date.now);
    const { key_id, public_key } = approval({});
    const target = { room_id: ROOM, agent: "laptop", user_id: ALICE, device_id: "OTHER" };
    const ask = () => pings.ping({ ...target, key_id, public_key, legacy: false }, "builder", 10_000);
    const both = Promise.all([ask(), ask()]);
    expect(sent).toHaveLength(1);
    const [nonce] = noncesOf(sent);
    const content = { from_agent: "builder", target_agent: "laptop", nonce, ts: NOW };
    const pong = new Identity(aliceKey, account(ALICE)).sign<object>(ROOM, EventTypes.pong, content);
    pings.onEvent(eventOf(pong, { kind: "to_device", type: EventTypes.pong, sender: ALICE, room_id: null }));
    expect(await both).toEqual([expect.any(Number), expect.any(Number)]);
  });
});
