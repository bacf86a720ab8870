/** What a member does to the room itself: states, approvals that are over, and leaving. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EventTypes, newNonce } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { HttpRefusal, RawAccount } from "./support/account.ts";
import { policyOf, type Stage, setTheStage, trust } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;

let stage: Stage;
const marks: string[] = [];

beforeAll(async () => {
  stage = await setTheStage();
  const { builder, mallory, room } = stage;
  await mallory.announce(room, "mallory");
  await trust(builder, room, "mallory", mallory.key);
});
afterAll(() => stage?.close());

/** After each attack: a legitimate request runs, and nothing but those has. */
async function onlyLegitimate(mark: string): Promise<void> {
  await stage.legitimate(mark);
  marks.push(mark);
  expect(await stage.ran()).toEqual(marks);
}

test("an agent state that a member with power 50 overwrites is restored, said, and redirects nothing", async () => {
  const { alice, mallory, builder, room } = stage;
  await mallory.announce(room, "builder");
  await expect
    .poll(async () => (await alice.state(room, EventTypes.agent, "builder")).matrix_user_id, {
      timeout: 10_000,
    })
    .toBe(builder.user);
  const { warnings } = await builder.ask<{ warnings: string[] }>(["daemon", "status"]);
  expect(warnings.join()).toContain(`overwritten by ${mallory.user_id}`);
  await onlyLegitimate("after an overwritten state");
});

test("somebody's state that shows another's key cannot be approved, though its fingerprint is right", async () => {
  const { alice, mallory, builder, room } = stage;
  const shown = await alice.state(room, EventTypes.agent, "alice");
  await mallory.sendState(room, EventTypes.agent, "carol", {
    ...mallory.sign(room, EventTypes.agent, { ...shown, agent_id: "carol", matrix_user_id: mallory.user_id }),
  });
  await expect
    .poll(async () => (await builder.run(["agent", "show", "--agent", "carol", "--room", room])).code)
    .toBe(0);
  const approve = ["trust", "approve", "carol", "--room", room, "--fingerprint", alice.key.fingerprint];
  const { code, stderr } = await builder.run(approve);
  expect([code, stderr]).toEqual([65, expect.stringContaining("nothing was approved")]);
});

test("one malformed state hides no other agent", async () => {
  const { mallory, builder, room } = stage;
  for (const [key, content] of [
    ["bad-1", {}],
    ["bad-2", { agent_id: "bad-2", workspace: null }],
    ["bad-3", { agent_id: 7 }],
  ] as const)
    await mallory.sendState(room, EventTypes.agent, key, content);
  await onlyLegitimate("after malformed states");
  const agents = await builder.ask<{ agent_id: string }[]>(["agent", "list", "--room", room]);
  const ids = agents.map(({ agent_id }) => agent_id);
  expect(ids).toEqual(expect.arrayContaining(["alice", "builder", "mallory"]));
  expect(ids.filter((id) => id.startsWith("bad"))).toEqual([]);
});

test("a revoked key asks for nothing, and an expired approval neither", async () => {
  const { mallory, builder, room, request } = stage;
  await builder.ask(["trust", "revoke", "mallory", "--room", room]);
  const own = (mark: string) => mallory.sign(room, REQUEST, request(mark, { requesting_agent: "mallory" }));
  await mallory.send(room, REQUEST, own("revoked"));
  await onlyLegitimate("after a revoked key");
  await trust(builder, room, "mallory", mallory.key, ["--expires", "2s"]);
  await eventually(async () => {
    const entries = await builder.ask<{ agent_id: string; status: string }[]>([
      ...["trust", "list", "--room", room],
    ]);
    return entries.some(({ agent_id, status }) => agent_id === "mallory" && status === "expired");
  });
  await mallory.send(room, REQUEST, own("expired approval"));
  await onlyLegitimate("after an expired approval");
});

test("what runs for a key ends within 5 s when that is revoked, its approval expires or the policy is tightened, whatever it ignores", async () => {
  const { mallory, builder, room, request, project } = stage;
  const stubborn = "trap '' TERM INT HUP; echo up >> up; while :; do sleep 0.1; done";
  const ways: [string, string[], () => Promise<unknown>][] = [
    ["revoked", [], () => builder.ask(["trust", "revoke", "mallory", "--room", room])],
    ["expired", ["--expires", "4s"], async () => {}],
    ["tightened", [], () => builder.setPolicy(policyOf(room, [stage.alice.user_id], project))],
  ];
  for (const [n, [how, flags, end]] of ways.entries()) {
    await trust(builder, room, "mallory", mallory.key, flags);
    const approved = performance.now();
    const content = request(how, { requesting_agent: "mallory", command: ["sh", "-c", stubborn] });
    await mallory.send(room, REQUEST, mallory.sign(room, REQUEST, content));
    await eventually(
      async () => (await readFile(join(project, "up"), "utf8").catch(() => "")) === "up\n".repeat(n + 1),
    );
    await end();
    const since = how === "expired" ? approved + 4_000 : performance.now();
    const over = async () => {
      const { stdout } = await builder.run(["audit", "show", String(content.invocation_id), "--json"]);
      return stdout.includes('"outcome":"cancelled"');
    };
    await eventually(over);
    const took = performance.now() - since;
    // The promise is 5 s: at most two until it is noticed, two from SIGTERM to SIGKILL, and one to record it. What is
    // measured begins before and ends after a command of ours, of which each takes seconds on a busy machine.
    expect(took).toBeLessThan(10_000);
  }
  await onlyLegitimate("after what was ended");
});

test("somebody who left the room asks for nothing, in the room or to-device", async () => {
  const { alice, builder, room, request, homeserver } = stage;
  const bob = await RawAccount.register(homeserver, "bob");
  await builder.ask(["workspace", "invite", bob.user_id, "--room", room]);
  await bob.join(room);
  await builder.ask(["workspace", "grant", bob.user_id, "--level", "50", "--room", room]);
  await bob.announce(room, "bob");
  await trust(builder, room, "bob", bob.key);
  const { account } = await builder.ask<{ account: { user_id: string; device_id: string } }>([
    "daemon",
    "status",
  ]);
  const ping = () => {
    const content = { from_agent: "bob", target_agent: "builder", nonce: newNonce(), ts: Date.now() };
    return bob.sendToDevice(
      account.user_id,
      account.device_id,
      EventTypes.ping,
      bob.sign(room, EventTypes.ping, content),
    );
  };
  await ping();
  await bob.untilMessage(({ type }) => type === EventTypes.pong, 5);
  const before = bob.messages.length;
  await bob.leave(room);
  await eventually(async () => {
    const members = await builder.ask<{ user_id: string; membership: string }[]>([
      ...["workspace", "members", "--room", room],
    ]);
    return !members.some(({ user_id, membership }) => user_id === bob.user_id && membership === "join");
  });
  await ping();
  await expect(bob.send(room, REQUEST, bob.sign(room, REQUEST, request("left")))).rejects.toThrow(
    HttpRefusal,
  );
  await onlyLegitimate("after somebody left");
  await bob.pump(1_500);
  expect(bob.messages.length).toBe(before);
  expect(alice.events.some(({ sender }) => sender === bob.user_id)).toBe(true);
});
