import { EventTypes } from "@mx-agent/protocol";
import { beforeEach, expect, test } from "vitest";
import { Router } from "../../src/receive/router.ts";
import {
  ALICE,
  aliceKey,
  approval,
  type Content,
  eventOf,
  ROOM,
  request,
  signed,
  strangerKey,
} from "../admit/support.ts";

/** Invocations whose streams were opened. */
let opened: string[];
let heard: string[];
let router: Router;
/** The device that the request named for its results. */
let replyTo: string;
let joined: boolean;
const asked = request();

beforeEach(() => {
  opened = [];
  heard = [];
  joined = true;
  replyTo = "DEVICE";
  const execution = {
    invocation_id: asked.invocation_id,
    room_id: ROOM,
    sender: ALICE,
    key_id: aliceKey.key_id,
    requesting_agent: "alice",
    get event() {
      return JSON.stringify(eventOf(signed({ ...asked, reply: { device_id: replyTo } })));
    },
    state: "ended",
  };
  router = new Router({
    executions: { byInvocation: (id: unknown) => (id === asked.invocation_id ? execution : undefined) },
    trust: { find: () => approval() },
    identity: { account: { user_id: "@builder:example.org" }, key: { key_id: "none" } },
    rooms: {
      isJoined: (_: string, user_id: string) => user_id === ALICE && joined,
      get: () => undefined,
      stateEvent: (_: string, __: string, agent_id: string) =>
        agent_id === "alice" ? { sender: ALICE } : undefined,
    },
    runs: {
      control: (id: string) => {
        opened.push(id);
        return { take: async () => {} };
      },
    },
    caller: { onEvent: async () => false },
    heard: (_: string, agent_id: string) => heard.push(agent_id),
  } as unknown as ConstructorParameters<typeof Router>[0]);
});
const type = EventTypes.streamAck;
const ack = { invocation_id: asked.invocation_id, stream: "stdout", next_seq: 0, window_bytes: 1 };
const toDevice = (content: Content, sender = ALICE) =>
  router.onEvent(eventOf(content, { kind: "to_device", room_id: null, event_id: null, type, sender }));

test("what the requester says about his run reaches it", async () => {
  await toDevice(signed(ack, { type }));
  expect(opened).toEqual([asked.invocation_id]);
});

test("what anybody else says about it opens nothing", async () => {
  await toDevice(ack);
  await toDevice(signed(ack, { type }), "@mallory:example.org");
  await toDevice(signed(ack, { type, key: strangerKey }));
  await toDevice(signed(ack, { type: EventTypes.streamResume }));
  await toDevice(signed(ack, { type, room_id: "!other:example.org" }));
  await toDevice({ ...signed(ack, { type }), next_seq: 7 });
  joined = false;
  await toDevice(signed(ack, { type }));
  expect(opened).toEqual([]);
});

test("it has to come from the device that the request named", async () => {
  replyTo = "OTHER";
  await toDevice(signed(ack, { type }));
  expect(opened).toEqual([]);
});

test("a heartbeat counts for an agent that is there, from who wrote its state", async () => {
  const beat = (agent_id: string, sender: string) => {
    const load = { running_invocations: 0, max_invocations: 1 };
    const content = { agent_id, status: "active", load, ts: 1 };
    return router.onEvent(eventOf(content, { type: EventTypes.heartbeat, sender }));
  };
  await beat("alice", ALICE);
  await beat("alice", "@mallory:example.org");
  for (let n = 0; n < 10; n++) await beat(`invented-${n}`, "@mallory:example.org");
  expect(heard).toEqual(["alice"]);
});
