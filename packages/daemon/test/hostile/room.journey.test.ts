/** What a member does to the room itself: states, approvals that are over, and leaving. */
import { readFile, writeFile } from "node:fs/promises";
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

/** A second of a clock that slows down with the machine: ten passes of a tenth each, and what else they take. */
const PASSES_A_SECOND = 10;

/** Alive whatever it is told, and counts how long: a pass a tenth of a second. */
const stubborn = (mark: string) =>
  `trap '' TERM INT HUP; while :; do echo >> ${mark}.passes; sleep 0.1; done`;

const passes = async (mark: string) =>
  (await readFile(join(stage.project, `${mark}.passes`), "utf8").catch(() => "")).length;

/** Begins a run of Mallory's, and answers its id once it runs. */
async function begin(mark: string): Promise<string> {
  const { mallory, room, request } = stage;
  const content = request(mark, { requesting_agent: "mallory", command: ["sh", "-c", stubborn(mark)] });
  await mallory.send(room, REQUEST, mallory.sign(room, REQUEST, content));
  await eventually(async () => (await passes(mark)) > 0);
  return String(content.invocation_id);
}

const record = async (invocation_id: string) =>
  (await stage.builder.run(["audit", "show", invocation_id, "--json"])).stdout;

/** Ended, by us, with the reason on record; within 5 s of when it had made so many passes. */
async function endedSince(mark: string, invocation_id: string, since: number): Promise<void> {
  await eventually(async () => (await record(invocation_id)).includes('"outcome":"cancelled"'));
  expect(await record(invocation_id)).toContain('"decision":"end"');
  expect((await passes(mark)) - since).toBeLessThanOrEqual(5 * PASSES_A_SECOND);
}

test("what runs for a key ends within 5 s when that is revoked or its approval expires, whatever it ignores", async () => {
  const { mallory, builder, room } = stage;
  await trust(builder, room, "mallory", mallory.key);
  const revoked = await begin("revoked");
  const since = await passes("revoked");
  await builder.ask(["trust", "revoke", "mallory", "--room", room]);
  await endedSince("revoked", revoked, since);

  await trust(builder, room, "mallory", mallory.key, ["--expires", "4s"]);
  // It cannot make more than the passes of these 4 s before the other 5.
  await endedSince("expired", await begin("expired"), 4 * PASSES_A_SECOND);
  await onlyLegitimate("after what was ended");
});

test("what runs ends within 5 s when the policy denies it, or gives less than it has, and not when it gives more", async () => {
  const { mallory, builder, room, alice, project } = stage;
  await trust(builder, room, "mallory", mallory.key);
  const file = join(builder.home, "config", "policy.toml");
  const usual = policyOf(room, [alice.user_id, mallory.user_id], project);
  const ofMallory = (settings: string) => `${usual}${settings}\n`;
  const ways: [string, string][] = [
    ["denied", policyOf(room, [alice.user_id], project)],
    ["lowered", ofMallory("max_runtime_ms = 30000")],
    ["held", ofMallory("requires_approval = true")],
    ["narrowed", usual.replaceAll(`allow_cwd = ["${project}"]`, `allow_cwd = ["${project}/sub"]`)],
  ];
  /** Saves it, tells nobody, and waits until it was read. */
  const save = async (text: string) => {
    const read = async () =>
      (await builder.run(["audit", "tail", "-n", "1000", "--json"])).stdout.split('"policy"').length;
    const before = await read();
    await writeFile(file, text);
    await eventually(async () => (await read()) > before);
  };
  for (const [how, text] of ways) {
    await save(usual);
    const run = await begin(how);
    if (how === "denied") {
      // More than it has, and what does not concern it: nothing of this ends it.
      for (const harmless of [ofMallory("max_runtime_ms = 9000000"), `# a remark\n${usual}`])
        await save(harmless);
      const before = await passes(how);
      await eventually(async () => (await passes(how)) > before + 15);
      expect(await record(run)).not.toContain('"decision":"end"');
    }
    const since = await passes(how);
    await writeFile(file, text);
    await endedSince(how, run, since);
  }
  await builder.setPolicy(usual);
  await onlyLegitimate("after what was ended by the policy");
});

test("what was tightened while the daemon was down ends what goes on meanwhile, as soon as it is back", async () => {
  const { mallory, builder, room, alice, project } = stage;
  const usual = policyOf(room, [alice.user_id, mallory.user_id], project);
  const [still, less] = [await begin("still"), await begin("less")];
  await builder.ask(["daemon", "stop"]);
  const tightened = usual.replace(/max_concurrent = \d+/, "max_concurrent = 1");
  await writeFile(join(builder.home, "config", "policy.toml"), tightened);
  await builder.startDaemon();
  await eventually(async () => (await record(less)).includes('"outcome":"cancelled"'));
  expect(await record(less)).toContain("max_concurrent");
  const before = await passes("still");
  await eventually(async () => (await passes("still")) > before + 15);
  expect(await record(still)).not.toContain("outcome");
  await builder.setPolicy(policyOf(room, [alice.user_id], project));
  await eventually(async () => (await record(still)).includes('"outcome":"cancelled"'));
  await builder.setPolicy(usual);
  await onlyLegitimate("after a tightening that nobody saw");
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
