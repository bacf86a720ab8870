import { type LoadedPolicy, loadPolicy } from "@mx-agent/policy";
import { EventTypes, encodePublicKey, type SigningKey, signContent } from "@mx-agent/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AgentRegistry } from "../../src/agents/registry.ts";
import { Identity } from "../../src/identity.ts";
import type { StateEvent } from "../../src/matrix/api.ts";
import type { OwnAgent } from "../../src/state/own-agents.ts";
import {
  BUILDER,
  builderKey,
  eventOf,
  machine,
  NOW,
  policy,
  policyText,
  ROOM,
  strangerKey,
} from "../admit/support.ts";

let agent: OwnAgent;
let written: string[];
let registry: AgentRegistry;
let shown: StateEvent | undefined;
let takenOver: string[];
let removed: string[];
let inForce: LoadedPolicy;
let load: unknown;
beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  agent = { room_id: ROOM, agent_id: "builder", kind: "", cwd: "", capabilities: [], state_rev: 1 };
  written = [];
  shown = undefined;
  takenOver = [];
  removed = [];
  inForce = policy;
  registry = new AgentRegistry({
    ownAgents: {
      find: (_: string, agent_id: string) => (agent_id === agent.agent_id ? agent : undefined),
      list: () => (agent.agent_id === "(none)" ? [] : [agent]),
      put: (changed: OwnAgent) => {
        agent = changed;
      },
      leave: () => {
        agent = { ...agent, agent_id: "(none)" };
      },
      remove: (_: string, agent_id: string) => removed.push(agent_id),
    },
    identity: new Identity(builderKey, { user_id: BUILDER, device_id: "DEVICE", homeserver: "" }),
    rooms: { stateEvent: (_: string, type: string) => (type === EventTypes.agent ? shown : undefined) },
    outbox: {
      enqueue: ({ type, content }: { type: string; content: { load?: unknown } }) => {
        written.push(type);
        load = content.load;
      },
    },
    policy: { current: () => inForce },
    running: () => 3,
    auditHead: () => undefined,
    rotation: () => undefined,
    onTakenOver: (_: OwnAgent, device_id: string) => takenOver.push(device_id),
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

test("the state says how many run, and how many the policy lets a user of the room have at once", () => {
  const shownWith = (text: string) => {
    inForce = loadPolicy(text, "policy.toml", machine);
    registry.publishAll();
    return load;
  };
  const another = `[rooms."${ROOM}".agents."@bob:example.org"]\nallow_exec = true\nmax_concurrent = 7\n`;
  expect(shownWith(policyText)).toEqual({ running_invocations: 3, max_invocations: 4 });
  expect(shownWith(`${policyText}max_concurrent = 2\n`)).toMatchObject({ max_invocations: 2 });
  expect(shownWith(`${policyText}max_concurrent = 2\n${another}`)).toMatchObject({ max_invocations: 7 });
  expect(shownWith("version = 1\n")).toMatchObject({ max_invocations: 0 });
  expect(shownWith("this is no policy")).toMatchObject({ max_invocations: 0 });
});

test("the states of others are left alone", () => {
  overwrite("somebody-else");
  expect(written).toEqual([]);
  expect(registry.warnings).toEqual([]);
});

/** The room shows an agent state that our own user wrote from that device, as he signed it or as somebody changed it. */
function ownState(device_id: string, key = builderKey, change = (content: object) => content): void {
  // As it comes over the wire: what is undefined is not there.
  const content: unknown = JSON.parse(JSON.stringify(change(signedState(device_id, key))));
  const event = { type: EventTypes.agent, state_key: "builder", sender: BUILDER };
  shown = { ...event, event_id: "$state", content, origin_server_ts: NOW };
  registry.onState(eventOf(content, event));
}

function signedState(device_id: string, key: SigningKey, room_id = ROOM): object {
  const content = {
    agent_id: "builder",
    kind: "daemon",
    matrix_user_id: BUILDER,
    device_id,
    signing_key_id: key.key_id,
    signing_public_key: encodePublicKey(key.publicKey),
    status: "active",
    capabilities: [],
    tools: [],
    workspace: { cwd: "", project_id: "", git_commit: "" },
    load: { running_invocations: 0, max_invocations: 1 },
    last_seen_ts: NOW,
    state_rev: 7,
  };
  return signContent(content, key, { room_id, type: EventTypes.agent, sender: BUILDER, device_id });
}

test.each<[string, (content: object) => object]>([
  ["another device", (content) => ({ ...content, device_id: "FORGED" })],
  ["a later revision", (content) => ({ ...content, state_rev: 8 })],
  ["no signature", (content) => ({ ...content, signature: undefined })],
  ["no key", (content) => ({ ...content, signing_public_key: undefined })],
  ["another's key id", (content) => ({ ...content, signing_key_id: builderKey.key_id })],
  ["a state of another room", () => signedState("ANOTHER", strangerKey, "!elsewhere:example.org")],
])(
  "a state in our own user's name takes no agent from us with %s, as whoever forges it has it",
  (_, change) => {
    ownState("ANOTHER", strangerKey, change);
    expect(takenOver).toEqual([]);
    registry.publishAll();
    expect(written).not.toEqual([]);
  },
);

test("of two daemons of one user the one that registered last answers, and the other says so and writes no more", () => {
  ownState("DEVICE");
  expect(takenOver).toEqual([]);
  ownState("ANOTHER", strangerKey);
  expect(takenOver).toEqual(["ANOTHER"]);
  expect(registry.warnings).toEqual([expect.stringContaining("device ANOTHER")]);
  registry.publishAll();
  overwrite();
  expect(written).toEqual([]);
});

test("an agent that another daemon answers for can be given up, and the state that this one wrote stays", () => {
  const ours = agent;
  ownState("ANOTHER", strangerKey);
  registry.unregister(ours);
  expect(removed).toEqual(["builder"]);
  expect(written).toEqual([]);
  expect(registry.warnings).toEqual([]);
});

test("a second daemon with a copy of the key is another all the same", () => {
  ownState("ANOTHER");
  expect(takenOver).toEqual(["ANOTHER"]);
});

test("who registers takes an agent back, whatever the room still shows", () => {
  ownState("ANOTHER", strangerKey);
  registry.register({ ...agent, agent_id: "builder" });
  registry.publishAll();
  expect(takenOver).toHaveLength(1);
  expect(written).toHaveLength(2);
  ownState("DEVICE");
  ownState("ANOTHER", strangerKey);
  expect(takenOver).toHaveLength(2);
});
