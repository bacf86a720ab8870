import {
  type EventType,
  EventTypes,
  generateSigningKey,
  parseContent,
  schemas,
  signContent,
  verifySignature,
} from "@mx-agent/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { examples } from "./examples.ts";

const types: EventType[] = Object.values(EventTypes);

/** A content with one field, by its path, set or (undefined) removed. */
function changed(type: EventType, path: string, value: unknown): Record<string, unknown> {
  const content: Record<string, unknown> = structuredClone(examples[type].content);
  const names = path.split(".");
  const last = names.pop() ?? "";
  let object = content;
  for (const name of names) object = object[name] as Record<string, unknown>;
  if (value === undefined) delete object[last];
  else object[last] = value;
  return content;
}

const refusal = (type: EventType, content: unknown) => {
  const parsed = parseContent(type, content);
  return parsed.ok ? undefined : parsed.problem;
};

describe.each(types)("%s", (type) => {
  const { content, optional, nullable } = examples[type];
  const fields = Object.keys(content);

  test("the full example is taken, and is the very object that came", () => {
    expect(parseContent(type, content)).toEqual({ ok: true, value: content });
    const parsed = parseContent(type, content);
    expect(parsed.ok && parsed.value).toBe(content);
  });

  test.each(fields)("%s: absent only where the protocol says so", (field) => {
    const pairs: Record<string, string> = { data: "mxc_uri", encoding: "mxc_uri" };
    if (type === EventTypes.contextShare && pairs[field] !== undefined) return;
    const taken = refusal(type, changed(type, field, undefined)) === undefined;
    expect(taken).toBe((optional as string[]).includes(field));
  });

  test.each(fields)("%s: null only where the protocol says so", (field) => {
    // A JSON Schema is somebody else's: any JSON is one.
    if (type === EventTypes.tool && field.endsWith("_schema")) return;
    const taken = refusal(type, changed(type, field, null)) === undefined;
    expect(taken).toBe((nullable as string[]).includes(field));
  });

  test("unknown fields at the top level are kept, __proto__ among them", () => {
    const text = JSON.stringify(content).replace(/}$/, ',"org.example.new":{"a":[1]},"__proto__":{"a":1}}');
    const extended: unknown = JSON.parse(text);
    const parsed = parseContent(type, extended);
    expect(parsed.ok && JSON.stringify(parsed.value)).toBe(text);
  });

  test("anything but an object is refused", () => {
    for (const value of [null, [], "{}", 1, true, undefined])
      expect(parseContent(type, value).ok, JSON.stringify(value)).toBe(false);
  });
});

test("every event type has a schema and nothing else has", () => {
  expect(Object.keys(schemas).sort()).toEqual([...types].sort());
});

describe("whatever a stranger sends", () => {
  test("is judged without an exception, and what is taken can be signed and verified", () => {
    const key = generateSigningKey();
    const binding = { room_id: "!r:x", type: "t", sender: "@a:x", device_id: "D" };
    const change = fc.tuple(
      fc.constantFrom(...types),
      fc.nat(),
      fc.oneof(fc.jsonValue(), fc.constant(undefined)),
    );
    fc.assert(
      fc.property(
        change,
        fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 2 }),
        ([type, at, value], extra) => {
          const names = Object.keys(examples[type].content);
          const content = { ...extra, ...changed(type, names[at % names.length] ?? "", value) };
          const parsed = parseContent(type, content);
          if (!parsed.ok) return parsed.problem !== "";
          const signed = signContent(parsed.value, key, binding);
          return verifySignature(JSON.parse(JSON.stringify(signed)), key.publicKey) === "ok";
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("nested objects take no fields that the protocol does not name", () => {
  test.each([
    ["com.mxagent.exec.request.v1", "signature"],
    ["com.mxagent.heartbeat.v1", "load"],
    ["com.mxagent.agent.v1", "load"],
    ["com.mxagent.agent.v1", "workspace"],
    ["com.mxagent.workspace.v1", "repo"],
    ["com.mxagent.task.v1", "action"],
    ["com.mxagent.task.v1", "action.authorization"],
    ["com.mxagent.task.v1", "action.authorization.signature"],
  ] as const)("%s %s", (type, path) => {
    expect(refusal(type, changed(type, `${path}.extra`, 1))).toContain('unknown field "extra"');
    const content = changed(type, path, undefined);
    const nested = JSON.parse('{"__proto__":{"polluted":true}}');
    expect(refusal(type, { ...content, ...changed(type, path, nested) })).toBeDefined();
  });

  test.each([
    ["com.mxagent.exec.request.v1", "reply"],
    ["com.mxagent.exec.request.v1", "binding"],
    ["com.mxagent.task.v1", "origin"],
  ] as const)("but %s %s is ours, and may grow", (type, path) => {
    expect(refusal(type, changed(type, `${path}.extra`, 1))).toBeUndefined();
  });
});

describe("the limits of single fields", () => {
  const request = EventTypes.execRequest;
  const taken: [EventType, string, unknown][] = [
    [request, "target_agent", "x".repeat(255)],
    [request, "target_agent", "日本 😀"],
    [request, "nonce", "x".repeat(256)],
    [request, "timeout_ms", 0],
    [request, "cwd", ""],
    [request, "env", {}],
    [EventTypes.execFinished, "exit_code", 2 ** 31 - 1],
    [EventTypes.execFinished, "exit_code", -(2 ** 31)],
    [EventTypes.ptyResize, "rows", 65_535],
    [EventTypes.execRejected, "reason", "a_reason_of_tomorrow"],
    [EventTypes.execStdin, "data", ""],
    [EventTypes.execCancelled, "finished_at", "2026-06-02T12:01:01.123456789Z"],
    [EventTypes.task, "action", { type: "tool", tool: "t", args: {} }],
  ];
  test.each(taken)("%s takes %s = %j", (type, path, value) => {
    expect(refusal(type, changed(type, path, value))).toBeUndefined();
  });

  const refused: [EventType, string, unknown][] = [
    [request, "target_agent", "x".repeat(256)],
    [request, "target_agent", ""],
    [request, "target_agent", "a\u0000b"],
    [request, "target_agent", "a\nb"],
    [request, "target_agent", "a\u202eb"],
    [request, "target_agent", "a\ud800"],
    [request, "nonce", ""],
    [request, "nonce", "x".repeat(257)],
    [request, "command", []],
    [request, "command", "npm test"],
    [request, "command", ["a\u0000b"]],
    [request, "cwd", "/a\u0000b"],
    [request, "env", { A: 1 }],
    [request, "env", { "A=B": "1" }],
    [request, "env", { "": "1" }],
    [request, "env", { A: "\u0000" }],
    [request, "env", JSON.parse('{"__proto__":{"A":"1"}}')],
    [request, "env", []],
    [request, "timeout_ms", -1],
    [request, "timeout_ms", 1.5],
    [request, "timeout_ms", 2 ** 53],
    [request, "timeout_ms", "1"],
    [request, "stdin", "true"],
    [request, "idempotency_key", "exec:inv_2"],
    [request, "created_at", "2026-06-02T12:00:00Z"],
    [request, "created_at", "2026-06-02T12:00:00.000+00:00"],
    [request, "created_at", "2026-02-30T12:00:00.000Z"],
    [request, "created_at", "2026-06-02T24:00:00.000Z"],
    [request, "created_at", "+012026-06-02T12:00:00.000Z"],
    [request, "created_at", 1_780_000_000_000],
    [request, "signature.alg", "none"],
    [request, "signature.key_id", null],
    [request, "signature.sig", null],
    [request, "binding.room_id", null],
    [request, "binding.device_id", undefined],
    [request, "reply.device_id", null],
    [EventTypes.heartbeat, "load.max_invocations", null],
    [EventTypes.workspace, "repo.branch", undefined],
    [EventTypes.execFinished, "exit_code", 2 ** 31],
    [EventTypes.execFinished, "exit_code", -(2 ** 31) - 1],
    [EventTypes.execFinished, "stdout_sha256", "abc"],
    [EventTypes.execFinished, "stdout_sha256", "a".repeat(64)],
    [EventTypes.execFinished, "outcome", "vanished"],
    [EventTypes.execFinished, "artifact_mxc", "https://example.org/x"],
    [EventTypes.ptyResize, "rows", 65_536],
    [EventTypes.ptyResize, "cols", -1],
    [EventTypes.execStdin, "data", "aGVsbG8"],
    [EventTypes.execStdin, "data", "aGVsbG9="],
    [EventTypes.streamChunk, "stream", "stdlog"],
    [EventTypes.streamChunk, "encoding", "zstd"],
    [EventTypes.streamChunk, "compressed", true],
    [EventTypes.streamChunk, "timestamp", 1_780_000_000_000],
    [EventTypes.contextShare, "mxc_uri", "mxc://example.org/abc"],
    [EventTypes.contextShare, "data", undefined],
    [EventTypes.contextShare, "encoding", undefined],
    [EventTypes.approvalDecision, "decision", "maybe"],
    [EventTypes.agent, "signing_public_key", "abc"],
    [EventTypes.agent, "workspace.cwd", null],
    [EventTypes.agent, "status", "away"],
    [EventTypes.task, "action.type", "shell"],
    [EventTypes.invocation, "exit_code", 1.5],
    [EventTypes.callRequest, "args", []],
    [EventTypes.trust, "status", "maybe"],
  ];
  test.each(refused)("%s refuses %s = %j", (type, path, value) => {
    expect(refusal(type, changed(type, path, value))).toBeDefined();
  });

  test("base64 in a chunk is checked, text is not taken for it", () => {
    const chunk = { ...examples[EventTypes.streamChunk].content, data: "not base64" };
    expect(refusal(EventTypes.streamChunk, chunk)).toBeUndefined();
    expect(refusal(EventTypes.streamChunk, { ...chunk, encoding: "base64" })).toContain("data");
  });
});

describe("a content as a whole", () => {
  const ack = examples[EventTypes.streamAck].content;

  test("over 40 KiB of canonical JSON is refused, with the size", () => {
    const padded = (size: number) => ({ ...ack, padding: "x".repeat(size) });
    const own = JSON.stringify(padded(0)).length;
    expect(refusal(EventTypes.streamAck, padded(40 * 1024 - own))).toBeUndefined();
    expect(refusal(EventTypes.streamAck, padded(40 * 1024 - own + 1))).toContain("40961 bytes");
  });

  test("nested 100,000 levels deep, it is refused without a crash", () => {
    const deep: unknown = JSON.parse(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`);
    expect(refusal(EventTypes.streamAck, { ...ack, deep })).toContain("nested more than");
  });

  test("a fraction or a lone surrogate in an unknown field is refused", () => {
    expect(refusal(EventTypes.streamAck, { ...ack, extra: 1.5 })).toContain("integer");
    expect(refusal(EventTypes.streamAck, { ...ack, extra: "\udc00" })).toContain("surrogate");
  });

  test("the problem names the field, repeats no value and is short", () => {
    const content = changed(EventTypes.execRequest, "env", { TOKEN: 5, PASSWORD: "hunter2" });
    expect(refusal(EventTypes.execRequest, content)).toBe("env: not a map of names to strings");
    const long = changed(EventTypes.agent, `load.${"k".repeat(5000)}`, 1);
    expect(refusal(EventTypes.agent, long)?.length).toBeLessThanOrEqual(200);
  });
});
