/** A hostile member of the room: an account and a key of his own, and whatever he has read in the room. */
import { EventTypes, generateSigningKey, newNonce } from "@mx-agent/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Content, isAbout, type Stage, setTheStage, trust } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;

describe.each([false, true])("in a room that is encrypted: %s,", (encrypted) => {
  let stage: Stage;
  /** What the audit log has to have counted when all is over. */
  const expected: Record<string, number> = {};
  const marks: string[] = [];

  beforeAll(async () => {
    stage = await setTheStage({ encrypted });
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
    // Made for that room, in which nobody approved her key.
    await alice.send(other, REQUEST, alice.sign(other, REQUEST, request("her own in another room")));
    counts("untrusted_key");
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
    await mallory.until(isAbout(own, EventTypes.execFinished));
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
      ({ type, content }) =>
        type === EventTypes.execRejected && content.invocation_id === victim.invocation_id,
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
    expect(totals).toEqual(expected);
    const lines = await stage.audit();
    expect(lines.filter(({ kind, decision }) => kind === "decision" && decision === "allow")).toHaveLength(
      marks.length,
    );
  });
});
