/** Requests that were altered, contents that nobody would make by mistake, and later words about a request. */
import { EventTypes } from "@mx-agent/protocol";
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

/** The text with one character changed, at so many places over its whole length. */
function* oneChangeEach(text: string, places: number): Generator<string> {
  for (let n = 0; n < places; n++) {
    const at = Math.floor(((n + 0.5) * text.length) / places);
    const was = text.charCodeAt(at);
    const now = was === 0x61 ? "b" : was >= 0x30 && was < 0x39 ? String.fromCharCode(was + 1) : "a";
    yield text.slice(0, at) + now + text.slice(at + 1);
  }
}
