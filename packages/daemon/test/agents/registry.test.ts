import { EventTypes } from "@mx-agent/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AgentRegistry } from "../../src/agents/registry.ts";
import { Identity } from "../../src/identity.ts";
import type { OwnAgent } from "../../src/state/own-agents.ts";
import { BUILDER, builderKey, eventOf, NOW, policy, ROOM } from "../admit/support.ts";

let agent: OwnAgent;
let written: string[];
let registry: AgentRegistry;
beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  agent = { room_id: ROOM, agent_id: "builder", kind: "", cwd: "", capabilities: [], state_rev: 1 };
  written = [];
  registry = new AgentRegistry({
    ownAgents: {
      find: (_: string, agent_id: string) => (agent_id === agent.agent_id ? agent : undefined),
      list: () => [agent],
      put: (changed: OwnAgent) => {
        agent = changed;
      },
    },
    identity: new Identity(builderKey, { user_id: BUILDER, device_id: "DEVICE", homeserver: "" }),
    rooms: { stateEvent: () => undefined },
    outbox: { enqueue: ({ type }: { type: string }) => written.push(type) },
    policy: { current: () => policy },
    load: () => ({ running_invocations: 0, max_invocations: 1 }),
    auditHead: () => undefined,
    now: Date.now,
  } as unknown as ConstructorParameters<typeof AgentRegistry>[0]);
});
afterEach(() => {
  registry.close();
  vi.useRealTimers();
});

const overwrite = (state_key = "builder") =>
  registry.onState(eventOf({}, { type: EventTypes.agent, state_key, sender: "@mallory:example.org" }));

test("an overwritten agent state is restored at once", () => {
  overwrite();
  expect(written).toEqual([EventTypes.agent]);
  expect(registry.warnings).toEqual([expect.stringContaining("@mallory:example.org")]);
});

test("whoever goes on overwriting it makes us write once a minute, and the last word is ours", () => {
  for (let n = 0; n < 100; n++) overwrite();
  expect(written).toHaveLength(1);
  vi.advanceTimersByTime(59_000);
  expect(written).toHaveLength(1);
  vi.advanceTimersByTime(1_000);
  expect(written).toHaveLength(2);
  vi.advanceTimersByTime(60_000);
  expect(written).toHaveLength(2);
});

test("the states of others are left alone", () => {
  overwrite("somebody-else");
  expect(written).toEqual([]);
  expect(registry.warnings).toEqual([]);
});
