/** A hostile member of the room: an account and a key of his own, and whatever he has read in the room. */
import { EventTypes, generateSigningKey, newNonce } from "@mx-agent/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../../../cli/test/support/two-daemons.ts";
import { HttpRefusal, RawAccount, type RoomEvent } from "./support/account.ts";
import { type Content, type Stage, setTheStage, trust } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;

let stage: Stage;
/** What the audit log has to have counted when all is over. */
const expected: Record<string, number> = {};
const marks: string[] = [];

beforeAll(async () => {
  stage = await setTheStage();
});
afterAll(() => stage?.close());

const counts = (reason: string, times = 1) => {
  expected[reason] = (expected[reason] ?? 0) + times;
};

/** After each attack: a legitimate request runs, and nothing but those has. */
async function onlyLegitimate(mark: string): Promise<void> {
  await stage.legitimate(mark);
  marks.push(mark);
  expect(await stage.ran()).toEqual(marks);
}

const signed = (content: Content) => stage.alice.sign(stage.room, REQUEST, content);

test("a legitimate request runs", () => onlyLegitimate("first"));

test("a request without a signature does not run", async () => {
  const { alice, mallory, room, request } = stage;
  await mallory.send(room, REQUEST, request("unsigned"));
  await alice.send(room, REQUEST, request("unsigned too"));
  counts("unsigned", 2);
  await onlyLegitimate("after unsigned");
});

test("a request signed by a key that nobody approved does not run, whoever sends it", async () => {
  const { alice, mallory, room, request } = stage;
  await mallory.send(room, REQUEST, mallory.sign(room, REQUEST, request("own key")));
  const stranger = generateSigningKey();
  await alice.send(room, REQUEST, alice.sign(room, REQUEST, request("new key"), stranger));
  counts("untrusted_key", 2);
  await onlyLegitimate("after unknown keys");
});

test("a request signed by a stranger's key under the approved key's id does not run", async () => {
  const { alice, mallory, room, request } = stage;
  const own = mallory.sign(room, REQUEST, request("borrowed id"), mallory.key);
  const { signature } = own as { signature?: object };
  await alice.send(room, REQUEST, {
    ...own,
    binding: { room_id: room, type: REQUEST, sender: alice.user_id, device_id: alice.device_id },
    signature: { ...signature, key_id: alice.key.key_id },
  });
  counts("invalid_signature");
  await onlyLegitimate("after a borrowed key id");
});

test("a request that somebody else sends again as his own does not run", async () => {
  const { mallory, room, request } = stage;
  await mallory.send(room, REQUEST, signed(request("stolen")));
  counts("binding_mismatch");
  await onlyLegitimate("after a stolen request");
});

test("a request lifted into another room, or another type of event, does not run", async () => {
  const { alice, builder, room, request } = stage;
  const { room_id: other } = await builder.ask<{ room_id: string }>([
    ...["workspace", "create", "other", "--no-e2ee", "--invite", alice.user_id],
  ]);
  await alice.join(other);
  await builder.ask(["agent", "register", "--room", other, "--agent", "builder"]);
  await alice.send(other, REQUEST, signed(request("other room")));
  await alice.send(room, EventTypes.callRequest, {
    ...signed({ ...request("other type"), tool: "run_tests", args: {} }),
  });
  counts("binding_mismatch", 2);
  await onlyLegitimate("after lifting");
});

test("a key that is approved for one agent does not ask as another", async () => {
  const { alice, builder, mallory, room, request } = stage;
  await mallory.announce(room, "mallory");
  await trust(builder, room, "mallory", mallory.key);
  await mallory.send(room, REQUEST, mallory.sign(room, REQUEST, request("as alice")));
  await alice.send(room, REQUEST, signed(request("as mallory", { requesting_agent: "mallory" })));
  counts("untrusted_key", 2);
  await onlyLegitimate("after asking as another");
});

test("a trusted peer's own request runs; with a victim's invocation or request id it does not, and with the victim's nonce neither loses", async () => {
  const { alice, mallory, room, request } = stage;
  const nonce = newNonce();
  const own = request("mallory's own", { requesting_agent: "mallory", nonce });
  await mallory.send(room, REQUEST, mallory.sign(room, REQUEST, own));
  marks.push("mallory's own");
  const victim = request("same nonce", { nonce });
  await alice.send(room, REQUEST, signed(victim));
  await alice.until(isAbout(victim, EventTypes.execFinished));
  marks.push("same nonce");
  for (const ids of [
    { invocation_id: victim.invocation_id, idempotency_key: victim.idempotency_key },
    { request_id: victim.request_id },
  ])
    await mallory.send(
      room,
      REQUEST,
      mallory.sign(room, REQUEST, request("victim's id", { requesting_agent: "mallory", ...ids })),
    );
  counts("replayed", 2);
  await onlyLegitimate("after a victim's ids");
  // Whoever waits for the victim's request is not told that it was refused.
  await alice.pump();
  const refused = alice.events.filter(
    ({ type, content }) => type === EventTypes.execRejected && content.invocation_id === victim.invocation_id,
  );
  expect(refused).toEqual([]);
});

test("an unsigned request that names a run's invocation id gets no answer that could end the wait for it", async () => {
  const { alice, mallory, room, request } = stage;
  const long = request("long", {
    command: ["sh", "-c", "echo long >> ran; while [ ! -e go ]; do sleep 0.05; done"],
  });
  await alice.send(room, REQUEST, signed(long));
  await alice.until(isAbout(long, EventTypes.execAccepted));
  marks.push("long");
  const { invocation_id, idempotency_key, request_id } = long;
  await mallory.send(room, REQUEST, request("spoiler", { invocation_id, idempotency_key }));
  await mallory.send(room, EventTypes.callRequest, {
    ...request("spoiler", { request_id }),
    tool: "run_tests",
    args: {},
  });
  counts("unsigned", 2);
  marks.push("go");
  await alice.send(room, REQUEST, signed(request("go", { command: ["sh", "-c", "echo go >> ran; > go"] })));
  await alice.until(
    ({ type, content }) => type === EventTypes.execFinished && content.invocation_id === invocation_id,
  );
  const misleading = alice.events.filter(
    ({ type, content }) =>
      (type === EventTypes.execRejected && content.invocation_id === invocation_id) ||
      (type === EventTypes.callResponse && content.request_id === request_id),
  );
  expect(misleading).toEqual([]);
  await onlyLegitimate("after the spoilers");
});

test("a request that expired, or was made in the future, does not run", async () => {
  const { alice, room, request } = stage;
  const at = (ms: number) => new Date(Date.now() + ms).toISOString();
  await alice.send(
    room,
    REQUEST,
    signed(request("expired", { created_at: at(-300_000), expires_at: at(-1_000) })),
  );
  await alice.send(
    room,
    REQUEST,
    signed(request("future", { created_at: at(300_000), expires_at: at(400_000) })),
  );
  await alice.send(
    room,
    REQUEST,
    signed(request("long-lived", { created_at: at(0), expires_at: at(3_600_000) })),
  );
  counts("expired");
  counts("from_the_future");
  counts("malformed_request");
  await onlyLegitimate("after wrong times");
});

test("a request that was altered in any one place does not run", async () => {
  const { alice, room, request } = stage;
  const text = JSON.stringify(signed(request("altered")));
  const results = { sent: 0, refused: 0 };
  for (const altered of oneChangeEach(text, 80)) {
    try {
      await alice.sendText(room, REQUEST, altered);
      results.sent++;
    } catch (error) {
      if (!(error instanceof HttpRefusal)) throw error;
      results.refused++;
    }
  }
  expect(results.sent).toBeGreaterThan(40);
  await onlyLegitimate("after alterations");
});

test("contents that no schema knows do not run, and stop nobody", async () => {
  const { alice, room, request } = stage;
  const good = signed(request("odd"));
  const text = JSON.stringify(good);
  const cases: [string, string][] = [
    ["a number with a fraction", text.replace('"timeout_ms":60000', '"timeout_ms":1.5')],
    ["a lone surrogate", text.replace('"odd"', '"odd\\ud800"')],
    ["a key twice", text.replace('"pty":false', '"pty":false,"command":["sh","-c","echo twice >> ran"]')],
    ["__proto__", text.replace('"pty":false', '"__proto__":{"pty":true},"pty":false')],
    ["constructor", text.replace('"env":{}', '"env":{"constructor":"x","__proto__":"y"}')],
    ["deep", text.replace('"pty":false', `"deep":${"[".repeat(15_000)}${"]".repeat(15_000)},"pty":false`)],
    ["large", text.replace('"pty":false', `"large":"${"x".repeat(50_000)}","pty":false`)],
    ["an unknown field", text.replace('"pty":false', '"unknown":1,"pty":false')],
    ["an unknown field in the signature", text.replace('"alg":', '"extra":1,"alg":')],
    ["a string for a list", text.replace(/"command":\[[^\]]*\]/, '"command":"sh"')],
    ["null for a string", text.replace(/"cwd":"[^"]*"/, '"cwd":null')],
    ["null for the content", "{}"],
    ["a NUL", text.replace('"odd"', '"odd\\u0000"')],
  ];
  for (const [what, content] of cases) {
    expect(content, what).not.toBe(text);
    await alice.sendText(room, REQUEST, content).catch((error: unknown) => {
      if (!(error instanceof HttpRefusal)) throw error;
    });
  }
  await onlyLegitimate("after odd contents");
});

test("a field that the schema does not know is part of what was signed, and harmless", async () => {
  const { alice, room, request } = stage;
  const content = request("with more", {
    unknown: { a: [1, { b: null }] },
    "m.relates_to": { rel_type: "x" },
  });
  await alice.send(room, REQUEST, signed(content));
  await alice.until(isAbout(content, EventTypes.execFinished));
  marks.push("with more");
  await onlyLegitimate("after unknown fields");
});

test("an edit changes no request, and a redaction cancels none", async () => {
  const { alice, room, request } = stage;
  const waits = ["sh", "-c", "while [ ! -e edited ]; do sleep 0.05; done; echo original >> ran"];
  const original = request("original", { command: waits });
  const event_id = await alice.send(room, REQUEST, signed(original));
  await alice.until(isAbout(original, EventTypes.execAccepted));
  const edited = signed({ ...original, command: ["sh", "-c", "echo edited >> ran"] });
  const replacement = { "m.new_content": edited, "m.relates_to": { rel_type: "m.replace", event_id } };
  await alice.send(room, REQUEST, replacement);
  await alice.send(room, REQUEST, { ...edited, ...replacement });
  await alice.redact(room, event_id);
  await alice.send(
    room,
    REQUEST,
    signed(request("go on", { command: ["sh", "-c", "echo go on >> ran; > edited"] })),
  );
  await alice.until(isAbout(original, EventTypes.execFinished));
  marks.push("go on", "original");
  counts("invalid_signature");
  await onlyLegitimate("after an edit");
});

test("a request to-device does not run", async () => {
  const { alice, builder, room, request } = stage;
  const { account } = await builder.ask<{ account: { user_id: string; device_id: string } }>([
    "daemon",
    "status",
  ]);
  await alice.sendToDevice(account.user_id, account.device_id, REQUEST, signed(request("to-device")));
  await alice.sendToDevice(account.user_id, "*", REQUEST, { ...signed(request("to-device")), room_id: room });
  await onlyLegitimate("after to-device");
});

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
  counts("revoked_key");
  await onlyLegitimate("after a revoked key");
  await trust(builder, room, "mallory", mallory.key, ["--expires", "2s"]);
  await eventually(async () => {
    const entries = await builder.ask<{ agent_id: string; status: string }[]>([
      ...["trust", "list", "--room", room],
    ]);
    return entries.some(({ agent_id, status }) => agent_id === "mallory" && status === "expired");
  });
  await mallory.send(room, REQUEST, own("expired approval"));
  counts("untrusted_key");
  await onlyLegitimate("after an expired approval");
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

test("refusals of strangers are answered once per sender and minute, six times per room and hour, and summed up exactly", async () => {
  const { alice, mallory, builder, room, request } = stage;
  for (let n = 0; n < 5; n++) await mallory.send(room, REQUEST, request("again"));
  counts("unsigned", 5);
  await onlyLegitimate("before the sum");
  await alice.pump();
  const answers = alice.events.filter(
    ({ type, sender }) => type === EventTypes.execRejected && sender === builder.user,
  );
  expect(answers.length).toBeGreaterThan(0);
  expect(answers.length).toBeLessThanOrEqual(6);

  const totals = await stage.refusals();
  for (const [reason, count] of Object.entries(expected)) {
    // Alterations fall under several reasons; those that nothing else has are exact.
    if (["expired", "revoked_key", "from_the_future", "replayed"].includes(reason))
      expect([reason, totals[reason]]).toEqual([reason, count]);
    else expect(totals[reason] ?? 0, reason).toBeGreaterThanOrEqual(count);
  }
  const lines = await stage.audit();
  expect(lines.filter(({ kind, decision }) => kind === "decision" && decision === "allow")).toHaveLength(
    marks.length,
  );
});

const isAbout =
  ({ invocation_id }: Content, ...types: string[]) =>
  ({ type, content }: RoomEvent) =>
    types.includes(type) && content.invocation_id === invocation_id;

/** The text with one character changed, at so many places over its whole length. */
function* oneChangeEach(text: string, places: number): Generator<string> {
  for (let n = 0; n < places; n++) {
    const at = Math.floor(((n + 0.5) * text.length) / places);
    const was = text.charCodeAt(at);
    const now = was === 0x61 ? "b" : was >= 0x30 && was < 0x39 ? String.fromCharCode(was + 1) : "a";
    yield text.slice(0, at) + now + text.slice(at + 1);
  }
}
