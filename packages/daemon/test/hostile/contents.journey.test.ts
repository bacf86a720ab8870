/** Requests that were altered, contents that nobody would make by mistake, and later words about a request. */
import { sign } from "node:crypto";
import { EventTypes, type SigningKey } from "@mx-agent/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HttpRefusal } from "./support/account.ts";
import { type Content, isAbout, type Stage, setTheStage } from "./support/stage.ts";

const REQUEST = EventTypes.execRequest;

describe.each([false, true])("in a room that is encrypted: %s,", (encrypted) => {
  let stage: Stage;
  const marks: string[] = [];

  beforeAll(async () => {
    stage = await setTheStage({ encrypted });
  });
  afterAll(() => stage?.close());

  /** After each attack: a legitimate request runs, and nothing but those has. */
  async function onlyLegitimate(mark: string): Promise<void> {
    await stage.legitimate(mark);
    marks.push(mark);
    expect(await stage.ran()).toEqual(marks);
  }

  const signed = (content: Content) => stage.alice.sign(stage.room, REQUEST, content);

  test("a request that was altered in any one place does not run", async () => {
    const { alice, room, request } = stage;
    const text = JSON.stringify(signed(request("altered")));
    // Encrypting takes its time; every place is tried where it does not.
    const places = encrypted ? 20 : 80;
    const results = { sent: 0, refused: 0 };
    for (const altered of oneChangeEach(text, places)) {
      try {
        await alice.sendText(room, REQUEST, altered);
        results.sent++;
      } catch (error) {
        if (!(error instanceof HttpRefusal)) throw error;
        results.refused++;
      }
    }
    expect(results.sent).toBeGreaterThan(places / 2);
    await onlyLegitimate("after alterations");
  });

  const send = (content: string) =>
    stage.alice.sendText(stage.room, REQUEST, content).catch((error: unknown) => {
      if (!(error instanceof HttpRefusal)) throw error;
    });

  test("contents that no schema knows do not run, and stop nobody, though the approved key signed them so", async () => {
    const { alice, request } = stage;
    // The binding as it should be, and the signature still to be made; each with a nonce and ids of its own.
    const unsigned = () => {
      const { signature: _, ...bound } = signed(request("odd"));
      return bound;
    };
    const cases: [string, (text: string) => string][] = [
      ["a number with a fraction", (text) => text.replace('"timeout_ms":60000', '"timeout_ms":1.5')],
      [
        "a number that is too large",
        (text) => text.replace('"timeout_ms":60000', '"timeout_ms":9007199254740993'),
      ],
      ["a lone surrogate", (text) => text.replace('"odd"', '"odd\\ud800"')],
      ["constructor", (text) => text.replace('"env":{}', '"env":{"constructor":"x","__proto__":"y"}')],
      ["a steering variable", (text) => text.replace('"env":{}', '"env":{"LD_PRELOAD":"x.so"}')],
      [
        "deep",
        (text) => text.replace('"pty":false', `"deep":${"[".repeat(500)}${"]".repeat(500)},"pty":false`),
      ],
      ["large", (text) => text.replace('"pty":false', `"large":"${"x".repeat(50_000)}","pty":false`)],
      ["a string for a list", (text) => text.replace(/"command":\[[^\]]*\]/, '"command":"sh"')],
      ["a list for a string", (text) => text.replace(/"cwd":"[^"]*"/, '"cwd":["/"]')],
      ["null for a string", (text) => text.replace(/"cwd":"[^"]*"/, '"cwd":null')],
      ["no command", (text) => text.replace(/"command":\[[^\]]*\]/, '"command":[]')],
      ["a terminal, which there is none of", (text) => text.replace('"pty":false', '"pty":true')],
      ["an idempotency key of another", (text) => text.replace('"exec:inv_', '"exec:inv_x')],
      ["a NUL", (text) => text.replace('"odd"', '"odd\\u0000"')],
      ["a life of a day", (text) => text.replace(/"expires_at":"[^"]*"/, `"expires_at":"${tomorrow()}"`)],
    ];
    for (const [what, change] of cases) {
      const text = JSON.stringify(unsigned());
      expect(change(text), what).not.toBe(text);
      await send(signedAnyway(change(text), alice.key));
    }
    await onlyLegitimate("after odd contents");
    // What it is measured by: the same content, left as it was, runs.
    const control = unsigned();
    await send(signedAnyway(JSON.stringify(control), alice.key));
    await alice.until(isAbout(control, EventTypes.execFinished));
    marks.push("odd");
    await onlyLegitimate("after one in order");
  });

  test("what is added to a signed content does not run, and stops nobody", async () => {
    const text = JSON.stringify(signed(stage.request("added")));
    const twice = '"pty":false,"command":["sh","-c","echo twice >> ran"]';
    const cases: [string, string][] = [
      ["a key twice", text.replace('"pty":false', twice)],
      ["__proto__", text.replace('"pty":false', '"__proto__":{"pty":true},"pty":false')],
      ["deep", text.replace('"pty":false', `"deep":${"[".repeat(15_000)}${"]".repeat(15_000)},"pty":false`)],
      ["an unknown field", text.replace('"pty":false', '"unknown":1,"pty":false')],
      ["an unknown field in the signature", text.replace('"alg":', '"extra":1,"alg":')],
      ["nothing left", "{}"],
    ];
    for (const [what, content] of cases) {
      expect(content, what).not.toBe(text);
      await send(content);
    }
    await onlyLegitimate("after additions");
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
    await onlyLegitimate("after an edit");
  });

  test("a request to-device does not run", async () => {
    const { alice, builder, room, request } = stage;
    const { account } = await builder.ask<{ account: { user_id: string; device_id: string } }>([
      "daemon",
      "status",
    ]);
    await alice.sendToDevice(account.user_id, account.device_id, REQUEST, signed(request("to-device")));
    // To all devices at once is nothing that encryption has.
    if (!encrypted)
      await alice.sendToDevice(account.user_id, "*", REQUEST, {
        ...signed(request("to-device")),
        room_id: room,
      });
    await onlyLegitimate("after to-device");
  });
});

const tomorrow = () => new Date(Date.now() + 86_400_000).toISOString();

/**
 * The text of a content with a signature that fits it, also where it has no canonical JSON: made by the same rules, as
 * far as these go.
 */
function signedAnyway(text: string, { key_id, privateKey }: SigningKey): string {
  const sig = sign(null, Buffer.from(sortedJson(JSON.parse(text))), privateKey).toString("base64");
  return `${text.slice(0, -1)},"signature":${JSON.stringify({ alg: "ed25519", key_id, sig })}}`;
}

function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${sortedJson(item)}`).join()}}`;
}

/** The text with one character changed, at so many places over its whole length. */
function* oneChangeEach(text: string, places: number): Generator<string> {
  for (let n = 0; n < places; n++) {
    const at = Math.floor(((n + 0.5) * text.length) / places);
    const was = text.charCodeAt(at);
    const now = was === 0x61 ? "b" : was >= 0x30 && was < 0x39 ? String.fromCharCode(was + 1) : "a";
    yield text.slice(0, at) + now + text.slice(at + 1);
  }
}
