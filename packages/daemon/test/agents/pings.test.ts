import { EventTypes } from "@mx-agent/protocol";
import { expect, test } from "vitest";
import { Pings } from "../../src/agents/pings.ts";
import { Identity } from "../../src/identity.ts";
import type { Outgoing } from "../../src/matrix/api.ts";
import {
  aliceKey,
  approval,
  BUILDER,
  builderKey,
  eventOf,
  NOW,
  ROOM,
  strangerKey,
} from "../admit/support.ts";

/** A ping to the builder, signed by that key of that user, and who is answered. */
function pinged(key: typeof builderKey, sender: string): string[] {
  const sent: Outgoing[] = [];
  const account = (user_id: string) => ({ user_id, device_id: "OTHER", homeserver: "" });
  const pings = new Pings({
    identity: new Identity(builderKey, account(BUILDER)),
    trust: {
      find: (_: string, agent_id: string, key_id: string) =>
        key_id === aliceKey.key_id && agent_id === "laptop" ? approval({ user_id: BUILDER }) : undefined,
    },
    ownAgents: { find: (_: string, agent_id: string) => (agent_id === "builder" ? {} : undefined) },
    rooms: { isJoined: () => true, get: () => undefined },
    outbox: { enqueue: (one: Outgoing) => void sent.push(one) },
    now: () => NOW,
  } as unknown as ConstructorParameters<typeof Pings>[0]);
  const content = { from_agent: "laptop", target_agent: "builder", nonce: "n", ts: NOW };
  const signed = new Identity(key, account(sender)).sign<object>(ROOM, EventTypes.ping, content);
  pings.onEvent(eventOf(signed, { kind: "to_device", type: EventTypes.ping, sender, room_id: null }));
  return sent.map(({ type }) => type);
}

test("another daemon of the same user is answered, once its key is approved", () => {
  expect(pinged(aliceKey, BUILDER)).toEqual([EventTypes.pong]);
  expect(pinged(strangerKey, BUILDER)).toEqual([]);
});

test("an agent of this very daemon is answered", () => {
  expect(pinged(builderKey, BUILDER)).toEqual([EventTypes.pong]);
});
