/** The small pieces: ids, times, base64, chunks, reasons, power levels. */
import {
  decodeBase64,
  decodeChunk,
  decodePublicKey,
  defaultAgentId,
  EventTypes,
  encodeBase64,
  encodeChunk,
  encodePublicKey,
  formatTime,
  isAgentId,
  isEventType,
  isId,
  isOurId,
  isReason,
  isSignedType,
  isUtcTime,
  MAX_CONTENT_BYTES,
  newId,
  newNonce,
  parseTime,
  reasons,
  reasonText,
  stateTypes,
  timelineTypes,
  toDeviceTypes,
  workspacePowerLevels,
} from "@mx-agent/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

describe("ids", () => {
  test("carry prefix, time and randomness as a ULID", () => {
    const random = (size: number) => new Uint8Array(size).fill(0xff);
    // The ULID specification's example time.
    expect(newId("inv", 1469918176385, random)).toBe("inv_01ARYZ6S41ZZZZZZZZZZZZZZZZ");
    expect(newId("req", 0, (size) => new Uint8Array(size))).toBe(`req_${"0".repeat(26)}`);
  });

  test("sort by time, differ, and pass as our own and as any id", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 }), (now) => {
        const [early, late] = [newId("task", now), newId("task", now + 1)];
        expect(early < late).toBe(true);
        expect(isOurId(early) && isId(early) && isAgentId(early)).toBe(true);
      }),
    );
    expect(newId("ctx", 1)).not.toBe(newId("ctx", 1));
  });

  test("of others are not taken for ours", () => {
    for (const id of [
      "inv_1",
      "x_01ARYZ6S41ZZZZZZZZZZZZZZZZ",
      "inv_81ARYZ6S41ZZZZZZZZZZZZZZZZ",
      "inv_01ARYZ6S41ZZZZZZZZZZZZZZZI",
    ])
      expect(isOurId(id), id).toBe(false);
  });

  test("nonces are 22 characters of base64url", () => {
    expect(newNonce((size) => new Uint8Array(size).fill(0xff))).toBe("_____________________w");
    expect(newNonce()).toMatch(/^[\w-]{22}$/);
    expect(newNonce()).not.toBe(newNonce());
  });

  test.each(["builder", "日本", "a b", "a@b", "x".repeat(128)])("agent id %j is taken", (id) => {
    expect(isAgentId(id)).toBe(true);
  });
  test.each(["", "@a", "a/b", "a|b", "a\nb", "a\u0000", "a\u200bb", "x".repeat(129)])(
    "agent id %j is refused",
    (id) => {
      expect(isAgentId(id)).toBe(false);
    },
  );

  test("a length counts characters, not UTF-16 units", () => {
    expect(isId("😀".repeat(255))).toBe(true);
    expect(isId("😀".repeat(256))).toBe(false);
    expect(isId(7)).toBe(false);
  });

  test("the default agent id is the machine's name, whatever that is", () => {
    expect(defaultAgentId("builder.example.org")).toBe("builder");
    expect(defaultAgentId("Anna's MacBook")).toBe("Anna-s-MacBook");
    expect(defaultAgentId("")).toBe("agent");
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (name) => isAgentId(defaultAgentId(name))),
    );
  });
});

describe("times", () => {
  test("what is formatted parses back", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253402300799999 }), (ms) => {
        expect(parseTime(formatTime(ms))).toBe(ms);
      }),
    );
  });

  test("for display any fraction is a time, but no other zone and no day that does not exist", () => {
    for (const time of ["2026-06-02T12:00:00Z", "2026-06-02T12:00:00.1Z", "2024-02-29T00:00:00.123456789Z"])
      expect(isUtcTime(time), time).toBe(true);
    for (const time of [
      "2026-02-29T00:00:00Z",
      "2026-06-02T12:00:00",
      "2026-06-02T12:00:00+02:00",
      "2026-06-02 12:00:00Z",
      "now",
    ])
      expect(isUtcTime(time), time).toBe(false);
  });
});

describe("base64", () => {
  test("every byte string has one spelling", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(decodeBase64(encodeBase64(bytes))).toEqual(Buffer.from(bytes));
      }),
    );
    for (const text of ["YQ", "YQ=", "YR==", "YQ==\n", " YQ==", "-_8=", "YQ==YQ==", "é"])
      expect(decodeBase64(text), text).toBeUndefined();
  });

  test("public keys have no padding, and 32 bytes", () => {
    const bytes = new Uint8Array(32).fill(7);
    expect(decodePublicKey(encodePublicKey(bytes))).toEqual(Buffer.from(bytes));
    expect(decodePublicKey(encodeBase64(bytes))).toBeUndefined();
    expect(decodePublicKey(encodePublicKey(bytes.subarray(1)))).toBeUndefined();
  });
});

describe("chunks", () => {
  test("give back exactly the bytes that went in", () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.string({ unit: "binary" }).map((s) => Buffer.from(s)),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        expect(decodeChunk(encodeChunk(input))).toEqual(Buffer.from(input));
      }),
      { numRuns: 500 },
    );
  });

  test("text goes as text, a cut character and control characters as base64", () => {
    expect(encodeChunk(Buffer.from("日本\n"))).toMatchObject({ encoding: "utf-8", data: "日本\n" });
    expect(encodeChunk(Buffer.from("日本").subarray(0, 4)).encoding).toBe("base64");
    expect(encodeChunk(Buffer.alloc(1000)).encoding).toBe("base64");
    expect(encodeChunk(Buffer.from("\ufeffwith a mark")).data).toBe("\ufeffwith a mark");
  });

  test("28 KiB of anything fit into an event", () => {
    const worst = [Buffer.alloc(28 * 1024), Buffer.alloc(28 * 1024, 0xff), Buffer.alloc(28 * 1024, '"')];
    for (const bytes of worst)
      expect(JSON.stringify(encodeChunk(bytes)).length).toBeLessThan(MAX_CONTENT_BYTES - 1024);
  });

  test("with another digest are not taken", () => {
    const chunk = encodeChunk(Buffer.from("hello"));
    expect(decodeChunk({ ...chunk, data: "hellO" })).toBeUndefined();
    expect(decodeChunk({ ...chunk, data: "hellO", sha256: null })?.toString()).toBe("hellO");
  });
});

describe("reasons", () => {
  test("are those of the protocol, each with a sentence, a remedy and a machine", () => {
    expect(Object.keys(reasons)).toEqual(
      (
        "malformed_request expired from_the_future binding_missing binding_mismatch unsigned untrusted_key revoked_key " +
        "invalid_signature replayed unverified_device policy_denied env_override_not_allowed sandbox_required " +
        "sandbox_unavailable limit_unavailable approval_denied approval_expired over_capacity rate_limited " +
        "tool_not_found tool_input_invalid spawn_failed"
      ).split(" "),
    );
    const params = { agent: "builder", requester: "laptop", room: "!r:example.org", request_id: "req_1" };
    for (const name of Object.keys(reasons)) {
      if (!isReason(name)) throw new Error(name);
      const text = reasonText(name, params);
      expect(text.sentence + text.remedy, name).not.toMatch(/[{}]|undefined/);
      expect(["requester", "target"]).toContain(text.on);
    }
    expect(reasonText("policy_denied", params).remedy).toBe("`mx-agent policy explain req_1` says why");
  });

  test("of a later version, and names of every object, are not ours", () => {
    for (const name of ["tomorrow", "toString", "__proto__", ""]) expect(isReason(name)).toBe(false);
  });
});

describe("event types", () => {
  test("each travels somewhere, and only room state has power levels", () => {
    const all = new Set<string>([...timelineTypes, ...toDeviceTypes, ...stateTypes]);
    expect([...all].sort()).toEqual(Object.values(EventTypes).sort());
    const levels = workspacePowerLevels();
    expect(Object.keys(levels.events).sort()).toEqual([...stateTypes].sort());
    expect(new Set(Object.values(levels.events))).toEqual(new Set([50]));
    expect(levels).toMatchObject({ events_default: 0, state_default: 100 });
  });

  test("of others, and names of every object, are not ours", () => {
    expect(isEventType("com.mxagent.exec.request.v1")).toBe(true);
    for (const type of ["com.mxagent.exec.request.v2", "m.room.message", "toString"])
      expect(isEventType(type)).toBe(false);
    expect(isSignedType("com.mxagent.exec.request.v1")).toBe(true);
    expect(isSignedType("com.mxagent.heartbeat.v1")).toBe(false);
  });
});
