/** A hostile homeserver against an encrypted room: it cannot read or make a request, and replays and rewrites all the same. */
import { EventTypes } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EncryptedAccount } from "./support/encrypted-account.ts";
import { HostileSync, type ServedEvent, timelineOf } from "./support/hostile-sync.ts";
import { type Content, isAbout, type Stage, setTheStage } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;

let stage: Stage;
let hostile: HostileSync;
const marks: string[] = [];
/** Every encrypted event that the builder was served, as it was served. */
const seen: ServedEvent[] = [];

beforeAll(async () => {
  stage = await setTheStage({ encrypted: true });
  hostile = new HostileSync(stage.proxy);
  hostile.rewrite((answer) => {
    seen.push(...timelineOf(answer, stage.room).filter(({ type }) => type === "m.room.encrypted"));
  });
  // The poll that was under way before is over once this has arrived.
  await onlyLegitimate("first");
});
afterAll(() => stage?.close());

async function onlyLegitimate(mark: string): Promise<void> {
  await stage.legitimate(mark);
  marks.push(mark);
  expect(await stage.ran()).toEqual(marks);
}

/** Serves these events, and then a legitimate request, which alone runs. */
async function refused(mark: string, ...events: Parameters<HostileSync["inject"]>[1][]): Promise<void> {
  const served = hostile.inject(stage.room, ...events);
  await onlyLegitimate(mark);
  await served;
}

const signed = (content: Content) => stage.alice.sign(stage.room, REQUEST, content);

/** The ciphertext of a request of Alice's that has run. */
async function ciphertextOf(mark: string): Promise<ServedEvent> {
  const content = stage.request(mark);
  const event_id = await stage.alice.send(stage.room, REQUEST, signed(content));
  await stage.alice.until(isAbout(content, EventTypes.execFinished));
  marks.push(mark);
  const found = seen.find((event) => event.event_id === event_id);
  if (!found) throw new Error(`${event_id} was not served`);
  return found;
}

test("the ciphertext of a request, served again under other event ids, does not run again, nor after a restart or a kill", async () => {
  const { event_id: _, ...again } = await ciphertextOf("once");
  await refused("after a replay", again, again);
  await stage.builder.ask(["daemon", "restart"]);
  await refused("after a replay to a restarted one", again);
  process.kill(await stage.builder.daemonPid(), "SIGKILL");
  await expect
    .poll(async () => (await stage.builder.run(["daemon", "start"])).code, { timeout: 20_000 })
    .toBe(0);
  await refused("after a replay to a killed one", again);
});

test("a ciphertext that was withheld until its request had expired does not run", async () => {
  const { alice, room, request } = stage;
  const held: ServedEvent[] = [];
  const release = hostile.rewrite((answer) => {
    const events = timelineOf(answer, room);
    held.push(
      ...events.filter(({ type, sender }) => type === "m.room.encrypted" && sender === alice.user_id),
    );
    events.splice(0, events.length, ...events.filter((event) => !held.includes(event)));
  });
  const expires_at = new Date(Date.now() + 1_500).toISOString();
  await alice.send(room, REQUEST, signed(request("withheld", { expires_at })));
  await expect
    .poll(() => held.length > 0 && Date.now() > Date.parse(expires_at), { timeout: 20_000 })
    .toBe(true);
  release();
  await refused("after a withheld one", ...held.map(({ event_id: _, ...event }) => event));
});

test("a ciphertext under another sender or room, or altered, does not run", async () => {
  const { mallory } = stage;
  const { event_id: _, ...event } = await ciphertextOf("taken");
  const content: { ciphertext?: unknown } = Object(event.content);
  const ciphertext = String(content.ciphertext);
  const at = Math.floor(ciphertext.length / 2);
  const altered = ciphertext.slice(0, at) + (ciphertext[at] === "A" ? "B" : "A") + ciphertext.slice(at + 1);
  await refused(
    "after a ciphertext that was tampered with",
    { ...event, sender: mallory.user_id },
    { ...event, content: { ...content, ciphertext: altered } },
    { ...event, content: { ...content, device_id: mallory.device_id, session_id: "other" } },
  );
});

test("a plain request does not run in an encrypted room, however well it is signed", async () => {
  const { alice, mallory, request } = stage;
  await refused(
    "after plain ones",
    { type: REQUEST, sender: alice.user_id, content: signed(request("plain")) },
    { type: REQUEST, sender: mallory.user_id, content: request("plain and unsigned") },
    { type: EventTypes.execCancel, sender: alice.user_id, content: {} },
  );
  const refusals = await stage.refusals();
  expect(refusals.unsigned).toBeGreaterThanOrEqual(1);
  const lines = await stage.audit();
  expect(lines.filter(({ reason }) => reason === "unverified_device").length).toBeGreaterThanOrEqual(1);
});

test("a plain cancel, stdin or acknowledgement to-device, in the requester's name and signed by him, changes no run", async () => {
  const { alice, room, request } = stage;
  const waits = ["sh", "-c", "while [ ! -e cancelled ]; do sleep 0.05; done; echo not cancelled >> ran"];
  const long = request("long", { command: waits });
  await alice.send(room, REQUEST, signed(long));
  await alice.until(isAbout(long, EventTypes.execAccepted));
  const { invocation_id } = long;
  const now = new Date().toISOString();
  const cancel = { invocation_id, reason: "no", created_at: now, nonce: "n1" };
  const stdin = { invocation_id, data: "", eof: true, created_at: now, nonce: "n2", seq: 0 };
  const served = hostile.next((answer) => {
    const forged = [[EventTypes.execCancel, cancel] as const, [EventTypes.execStdin, stdin] as const].map(
      ([type, content]) => ({ type, sender: alice.user_id, content: alice.sign(room, type, content) }),
    );
    answer.to_device = { events: [...(answer.to_device?.events ?? []), ...forged] };
    const [first] = forged;
    if (first)
      timelineOf(answer, room).unshift({
        ...first,
        event_id: `$c${invocation_id}`,
        origin_server_ts: Date.now(),
      });
  });
  const go = request("go", { command: ["sh", "-c", "echo go >> ran; > cancelled"] });
  await alice.send(room, REQUEST, signed(go));
  await served;
  await alice.until(isAbout(long, EventTypes.execFinished));
  marks.push("go", "not cancelled");
  await onlyLegitimate("after a plain cancel");
});

/** Takes a device out of what the builder is told of its user's devices. */
function hide(device_id: string): () => void {
  return stage.proxy.on(({ path }) =>
    path.includes("/keys/query")
      ? {
          kind: "rewrite",
          change: (answer) => {
            const told: { device_keys?: Record<string, Record<string, unknown>> } = JSON.parse(answer.body);
            for (const devices of Object.values(told.device_keys ?? {})) delete devices[device_id];
            return { ...answer, body: JSON.stringify(told) };
          },
        }
      : undefined,
  );
}

test.each(["shown", "hidden"])(
  "a device that the homeserver adds for a trusted user, and which is %s, makes nothing run and ends no run, with his signature or its own",
  async (how) => {
    const { alice, builder, homeserver, room, request } = stage;
    const added = await EncryptedAccount.anotherOf(homeserver, alice);
    const shown = how === "hidden" ? hide(added.device_id) : () => undefined;
    const { account } = await builder.ask<{ account: { user_id: string; device_id: string } }>([
      ...["daemon", "status"],
    ]);
    const file = `go-${how}`;
    const waits = ["sh", "-c", `while [ ! -e ${file} ]; do sleep 0.05; done; echo not ended ${how} >> ran`];
    const long = request("long", { command: waits });
    await alice.send(room, REQUEST, signed(long));
    await alice.until(isAbout(long, EventTypes.execAccepted));

    // Alice's own words, which she has sent to nobody, and the device's.
    await added.send(room, REQUEST, signed(request(`lifted, ${how}`)));
    await added.send(room, REQUEST, added.sign(room, REQUEST, request(`its own, ${how}`)));
    const now = new Date().toISOString();
    const cancel = { invocation_id: long.invocation_id, reason: "no", created_at: now, nonce: `n-${how}` };
    const words = alice.sign(room, EventTypes.execCancel, cancel);
    await added.sendToDevice(account.user_id, account.device_id, EventTypes.execCancel, words);

    await onlyLegitimate(`beside a device that is ${how}`);
    const go = request("go", { command: ["sh", "-c", `echo go >> ran; > ${file}`] });
    await alice.send(room, REQUEST, signed(go));
    await alice.until(isAbout(long, EventTypes.execFinished));
    marks.push("go", `not ended ${how}`);
    await onlyLegitimate(`after a device that is ${how}`);
    shown();
    await added.close();
  },
);

test("what came from such devices was read, and refused for what it was", async () => {
  const { binding_mismatch, untrusted_key } = await stage.refusals();
  expect(binding_mismatch).toBeGreaterThanOrEqual(2);
  expect(untrusted_key).toBeGreaterThanOrEqual(2);
});
