/** A hostile homeserver against the executing side: it replays, reorders, withholds, rewrites and forges. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EventTypes, generateSigningKey, newNonce } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { isAlive } from "../../../cli/src/background/alive.ts";
import { type Machine, newMachine } from "../../../cli/test/support/machine.ts";
import { HostileSync, type ServedEvent, timelineOf } from "./support/hostile-sync.ts";
import { type Content, isAbout, policyOf, type Stage, setTheStage, trust } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;

let stage: Stage;
let hostile: HostileSync;
const marks: string[] = [];

beforeAll(async () => {
  stage = await setTheStage();
  hostile = new HostileSync(stage.proxy);
  // The poll that was under way before is over once this has arrived.
  await onlyLegitimate("first");
});
afterAll(() => stage?.close());

const request = (mark: string, changes: Content = {}) => stage.request(mark, changes);
const signed = (content: Content) => stage.alice.sign(stage.room, REQUEST, content);
const fromAlice = (content: unknown) => ({ type: REQUEST, sender: stage.alice.user_id, content });

async function onlyLegitimate(mark: string): Promise<void> {
  await stage.legitimate(mark);
  marks.push(mark);
  expect(await stage.ran()).toEqual(marks);
}

/** Serves these events, and then a legitimate request, which alone runs. */
async function refused(mark: string, ...events: ReturnType<typeof fromAlice>[]): Promise<void> {
  const served = hostile.inject(stage.room, ...events);
  await onlyLegitimate(mark);
  await served;
}

/** The events of Alice's requests as the homeserver has them. */
async function onRecord(mark: string): Promise<Content> {
  await stage.alice.pump();
  const event = stage.alice.events.find(
    ({ type, content }) => type === REQUEST && JSON.stringify(content).includes(`"${mark}"`),
  );
  if (!event) throw new Error(`no request ${mark}`);
  return event.content;
}

test("a request that is served again, under another event id, does not run again", async () => {
  await onlyLegitimate("once");
  const content = await onRecord("once");
  await refused("after a replay", fromAlice(content), fromAlice(content));
});

test("a request that is served again to a restarted daemon does not run again", async () => {
  await stage.builder.ask(["daemon", "restart"]);
  await refused("after a replay to a restarted one", fromAlice(await onRecord("once")));
  process.kill(await stage.builder.daemonPid(), "SIGKILL");
  await expect
    .poll(async () => (await stage.builder.run(["daemon", "start"])).code, { timeout: 20_000 })
    .toBe(0);
  await refused("after a replay to a killed one", fromAlice(await onRecord("once")));
});

test("the last request of all is known to a daemon that was killed right after it ran", async () => {
  await onlyLegitimate("last");
  process.kill(await stage.builder.daemonPid(), "SIGKILL");
  await expect
    .poll(async () => (await stage.builder.run(["daemon", "start"])).code, { timeout: 20_000 })
    .toBe(0);
  await refused("after the last one again", fromAlice(await onRecord("last")));
});

test("a request for one daemon does not run on another of the same user, whatever agents that has", async () => {
  const { builder, homeserver, room, project, alice } = stage;
  const twin: Machine = await newMachine({ name: "twin", homeserver });
  const register = (machine: Machine, agent: string) =>
    machine.run(["agent", "register", "--room", room, "--agent", agent]);
  try {
    await twin.startDaemon();
    const account = builder.user.slice(1, builder.user.indexOf(":"));
    await twin.ask(["auth", "login", "--homeserver", homeserver.url, "--user", account, "--password-stdin"], {
      stdin: `${builder.password}\n`,
    });
    await twin.setPolicy(policyOf(room, [alice.user_id], project));
    // It knows the room when it has synced once; that it is plain has to be said on each machine.
    await eventually(async () => (await twin.run(["workspace", "join", room, "--no-e2ee"])).code === 0);
    expect((await register(twin, "twin")).code).toBe(0);
    await trust(twin, room, "alice", alice.key);
    await onlyLegitimate("beside a twin");

    // With the name of the first, which then leaves it to the second; and back again.
    expect((await register(twin, "builder")).code).toBe(0);
    await expect
      .poll(async () => (await builder.ask<{ warnings: string[] }>(["daemon", "status"])).warnings.join())
      .toContain("another daemon's of this user now");
    await onlyLegitimate("on the twin");
    expect((await register(builder, "builder")).code).toBe(0);
    await expect
      .poll(async () => (await twin.ask<{ warnings: string[] }>(["daemon", "status"])).warnings.join())
      .toContain("another daemon's of this user now");
    await onlyLegitimate("on the first again");

    // A request that names the key runs where that is, and nowhere else whatever the room shows.
    const { key_id } = await builder.ask<{ key_id: string }>(["trust", "fingerprint"]);
    const named = stage.request("by its key", { target_key_id: key_id });
    await alice.send(room, REQUEST, signed(named));
    await alice.until(isAbout(named, EventTypes.execFinished));
    marks.push("by its key");
    const others = stage.request("another's key", { target_key_id: stage.mallory.key.key_id });
    await alice.send(room, REQUEST, signed(others));
    await onlyLegitimate("after another's key");
    const { stdout } = await twin.run(["audit", "tail", "--json", "-n", "1000"]);
    expect(stdout.split("\n").filter((line) => line.includes('"decision":"allow"'))).toHaveLength(1);
  } finally {
    await twin.close();
  }
});

test("requests that are served in another order run once each", async () => {
  const { alice, room } = stage;
  const one = request("one");
  const two = request("two");
  const held: ServedEvent[] = [];
  // Withheld until both are there; then served the wrong way round, and twice.
  const release = hostile.rewrite((answer) => {
    const events = timelineOf(answer, room);
    held.push(...events.filter(({ type }) => type === REQUEST));
    const rest = events.filter(({ type }) => type !== REQUEST);
    const all = held.length >= 2 ? [...held].reverse() : [];
    if (all.length > 0) release();
    events.splice(
      0,
      events.length,
      ...rest,
      ...all,
      ...all.map((event) => ({ ...event, event_id: `${event.event_id}x` })),
    );
  });
  await alice.send(room, REQUEST, signed(one));
  await alice.send(room, REQUEST, signed(two));
  for (const { invocation_id } of [one, two])
    await alice.until(
      ({ type, content }) => type === EventTypes.execFinished && content.invocation_id === invocation_id,
    );
  expect(new Set(await stage.ran())).toEqual(new Set([...marks, "one", "two"]));
  marks.splice(0, marks.length, ...(await stage.ran()));
  await onlyLegitimate("after another order");
});

test("of requests of one nonce that are served together the first alone runs, the others beside them all", async () => {
  const nonce = newNonce();
  const contents = [
    request("alone"),
    request("first of a nonce", { nonce }),
    request("second of a nonce", { nonce }),
    request("beside it"),
  ].map(signed);
  const served = hostile.inject(stage.room, ...contents.map(fromAlice), ...contents.map(fromAlice));
  await stage.legitimate("after one nonce");
  await served;
  const last = contents.at(-1) ?? {};
  await stage.alice.until(isAbout(last, EventTypes.execFinished));
  await expect
    .poll(async () => (await stage.ran()).slice(marks.length).sort())
    .toEqual(["after one nonce", "alone", "beside it", "first of a nonce"]);
  marks.splice(0, marks.length, ...(await stage.ran()));
  await onlyLegitimate("after all of them");
});

test("a request that was withheld until it had expired does not run", async () => {
  const expires_at = new Date(Date.now() + 500).toISOString();
  const content = signed(request("withheld", { expires_at }));
  await expect.poll(() => Date.now() > Date.parse(expires_at), { timeout: 5_000 }).toBe(true);
  await refused("after a withheld one", fromAlice(content));
});

test("a request whose sender, room, type or content the homeserver rewrites does not run", async () => {
  const { mallory, room } = stage;
  const good = () => signed(request("rewritten"));
  const strangers = mallory.sign(room, REQUEST, request("rewritten"));
  const elsewhere = stage.alice.sign("!elsewhere:localhost", REQUEST, request("rewritten"));
  const anotherType = stage.alice.sign(room, EventTypes.callRequest, request("rewritten"));
  const served: ReturnType<typeof fromAlice>[] = [
    { ...fromAlice(good()), sender: mallory.user_id },
    fromAlice(strangers),
    fromAlice(elsewhere),
    fromAlice(anotherType),
    fromAlice({ ...good(), command: ["sh", "-c", "echo rewritten >> ran"] }),
    fromAlice({ ...good(), target_agent: "builder", cwd: "/" }),
    fromAlice({ ...good(), signature: undefined }),
    fromAlice({ ...good(), binding: undefined }),
    fromAlice(stage.alice.sign(room, REQUEST, request("rewritten"), generateSigningKey())),
  ];
  await refused("after rewritten ones", ...served);
});

test("an agent state that the homeserver forges, and a member whom it hides, redirect and end nothing", async () => {
  const { alice, mallory, builder, room } = stage;
  const shown = await alice.state(room, EventTypes.agent, "alice");
  const own = await alice.state(room, EventTypes.agent, "builder");
  const twins = { ...own, device_id: "FORGED" };
  const forged = { ...shown, matrix_user_id: mallory.user_id, signing_key_id: mallory.key.key_id };
  const served = hostile.inject(
    room,
    { type: EventTypes.agent, state_key: "alice", sender: mallory.user_id, content: forged },
    { type: EventTypes.agent, state_key: "builder", sender: mallory.user_id, content: {} },
    { type: EventTypes.agent, state_key: "builder", sender: builder.user, content: twins },
    { type: EventTypes.agent, state_key: "alice2", sender: alice.user_id, content: { agent_id: null } },
  );
  await onlyLegitimate("after forged states");
  await served;
  expect((await builder.ask<unknown[]>(["agent", "list", "--room", room])).length).toBeGreaterThan(0);
  const { warnings } = await builder.ask<{ warnings: string[] }>(["daemon", "status"]);
  expect(warnings.join()).not.toContain("another daemon's");
});

const deep = (levels: number) => `{"deep":${"[".repeat(levels)}${"]".repeat(levels)}}`;

test.each([
  ["nested 100,000 levels deep", deep(100_000)],
  ["an array, not an object", "[]"],
  ["null", "null"],
  ["a string", '"text"'],
  ["a number that no double holds", '{"n":1e999}'],
  ["of 1 MiB", `{"x":"${"y".repeat(1 << 20)}"}`],
  [
    "with keys of every object's prototype",
    '{"__proto__":{"invocation_id":"x"},"constructor":1,"toString":2}',
  ],
  ["with 20,000 keys", `{${Array.from({ length: 20_000 }, (_, n) => `"k${n}":${n}`).join()}}`],
])("a content that is %s stops nobody", async (what, content) => {
  const { alice, room } = stage;
  for (const type of [REQUEST, EventTypes.callRequest, EventTypes.execFinished, EventTypes.streamAck])
    void hostile.injectText(room, { type, sender: alice.user_id }, content);
  await onlyLegitimate(`after one ${what.slice(0, 20)}`);
});

test("events that lack what every event has stop nobody", async () => {
  const { room } = stage;
  const broken: unknown[] = [
    null,
    7,
    [],
    {},
    { type: REQUEST },
    { type: REQUEST, sender: 5, content: {}, event_id: "$a" },
    { type: REQUEST, sender: stage.alice.user_id, content: {}, event_id: "", origin_server_ts: 1 },
    { type: REQUEST, sender: stage.alice.user_id, content: {}, event_id: "$b", origin_server_ts: "soon" },
    {
      type: REQUEST,
      sender: stage.alice.user_id,
      content: {},
      event_id: "$c",
      origin_server_ts: 1,
      state_key: 1,
    },
  ];
  const served = hostile.next((answer) => {
    const events: unknown[] = timelineOf(answer, room);
    events.unshift(...broken);
  });
  await onlyLegitimate("after broken events");
  await served;
});

/** A run that goes on until it is ended, by its process id. */
async function endless(who: typeof stage.alice, agent: string, mark: string) {
  const { room, project } = stage;
  const script = `echo $$ > ${mark}; while :; do sleep 0.1; done`;
  const content = request(mark, { requesting_agent: agent, command: ["sh", "-c", script] });
  await who.send(room, REQUEST, who.sign(room, REQUEST, content));
  let pid = 0;
  await eventually(async () => {
    pid = Number(await readFile(join(project, mark), "utf8").catch(() => ""));
    return pid > 0;
  });
  return { pid, invocation_id: String(content.invocation_id) };
}

test("what is revoked or cancelled ends when its agent is no longer here, and when the homeserver has ended the login", async () => {
  const { alice, mallory, builder, room, proxy } = stage;
  await mallory.announce(room, "mallory");
  await trust(builder, room, "mallory", mallory.key);
  const without = await endless(mallory, "mallory", "without-agent");
  await builder.ask(["agent", "unregister", "--room", room, "--agent", "builder"]);
  await builder.ask(["trust", "revoke", "mallory", "--room", room]);
  await expect.poll(() => isAlive(without.pid), { timeout: 10_000 }).toBe(false);

  await builder.ask(["agent", "register", "--room", room, "--agent", "builder"]);
  await trust(builder, room, "mallory", mallory.key);
  const revoked = await endless(mallory, "mallory", "revoked");
  const cancelled = await endless(alice, "alice", "cancelled");
  const body = JSON.stringify({ errcode: "M_UNKNOWN_TOKEN", error: "unknown token" });
  const letIn = proxy.on(() => ({ kind: "answer", status: 401, body }));
  const syncState = async () =>
    (await builder.ask<{ sync: { state: string } }>(["daemon", "status"])).sync.state;
  await eventually(async () => (await syncState()) === "logged_out");
  await builder.ask(["trust", "revoke", "mallory", "--room", room]);
  await expect.poll(() => isAlive(revoked.pid), { timeout: 10_000 }).toBe(false);
  expect(isAlive(cancelled.pid)).toBe(true);
  await builder.ask(["invocation", "cancel", cancelled.invocation_id]);
  await expect.poll(() => isAlive(cancelled.pid), { timeout: 15_000 }).toBe(false);

  // What they came to is on record after the next login.
  letIn();
  await builder.login();
  for (const { invocation_id } of [without, revoked, cancelled])
    await eventually(async () =>
      (await builder.run(["audit", "show", invocation_id, "--json"])).stdout.includes(
        '"outcome":"cancelled"',
      ),
    );
});
