import { EventTypes, importSigningKey, parseContent, signContent } from "@mx-agent/protocol";
import type { RunEnd } from "@mx-agent/runner";
import fc from "fast-check";
import { expect, test } from "vitest";
import { callResult } from "../../src/publish/call-result.ts";

/** As long as ids may be. */
const long = "\u{10ffff}".replace(/./gu, "字").repeat(255);
const key = importSigningKey(new Uint8Array(32).fill(7));

interface Result {
  exit_code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
  truncated: boolean;
  json?: unknown;
}

/** What the caller reads of a run that wrote this. */
function received(stdout: Buffer, stderr = Buffer.alloc(0), changes: Partial<RunEnd> = {}): Result {
  const end = {
    outcome: "exited",
    exit_code: 0,
    signal: null,
    duration_ms: 5,
    stdout_bytes: stdout.length,
    stderr_bytes: stderr.length,
    truncated: false,
    ...changes,
  } as RunEnd;
  const result = callResult(end, { stdout: stdout.subarray(0, 40_960), stderr: stderr.subarray(0, 40_960) });
  const content = { request_id: long, ok: true, result, error: null };
  const binding = { room_id: long, type: EventTypes.callResponse, sender: long, device_id: long };
  const parsed = parseContent(EventTypes.callResponse, signContent(content, key, binding));
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.value.result as Result;
}

test("a tool's answer is read by its caller, whatever the tool wrote", () => {
  const piece = fc.oneof(
    fc.constantFrom('"', "\u0000", "\u001b[1m", "\n", "x", "é", "字", "\u{1f600}", "\\"),
    fc.string(),
  );
  const output = fc
    .tuple(fc.array(piece, { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 20_000 }))
    .map(([pieces, times]) => Buffer.from(pieces.join("").repeat(times).slice(0, 120_000)));
  const bytes = fc.uint8Array({ maxLength: 60_000 }).map((given) => Buffer.from(given));
  fc.assert(
    fc.property(fc.oneof(output, bytes), fc.oneof(output, bytes), (stdout, stderr) => {
      const read = received(stdout, stderr);
      expect(read.stdout.isWellFormed() && read.stderr.isWellFormed()).toBe(true);
      if (read.truncated) return;
      expect(read.stdout).toBe(stdout.toString("utf8"));
      expect(read.stderr).toBe(stderr.toString("utf8"));
    }),
    { numRuns: 200 },
  );
});

test("what a tool wrote is cut at its end, never inside of a character, and says so", () => {
  const read = received(Buffer.from("字\u{1f600}".repeat(20_000)));
  expect(read.truncated).toBe(true);
  expect(read.stdout.length).toBeGreaterThan(10_000);
  expect("字\u{1f600}".repeat(20_000).startsWith(read.stdout)).toBe(true);
  expect(received(Buffer.from("x".repeat(32_000)))).toMatchObject({ truncated: false });
});

test("a tool that fills one stream leaves room for the other", () => {
  const noisy = received(Buffer.from("the answer"), Buffer.from("e".repeat(100_000)));
  expect(noisy.stdout).toBe("the answer");
  expect(noisy.stderr.length).toBeGreaterThan(30_000);
  const failed = received(Buffer.from("o".repeat(100_000)), Buffer.from("why it failed"));
  expect(failed).toMatchObject({ stderr: "why it failed", truncated: true });
});

test("output that is JSON comes as a value as well, where both have room", () => {
  const small = { lines: ["a", 'b"'], n: 1 };
  expect(received(Buffer.from(JSON.stringify(small)))).toMatchObject({ json: small, truncated: false });
  const large = JSON.stringify({ text: "x".repeat(25_000) });
  const read = received(Buffer.from(large));
  expect(read).toMatchObject({ stdout: large, truncated: false });
  expect(read).not.toHaveProperty("json");
});

test("which signal ended a tool is told", () => {
  const ended = { outcome: "signaled", exit_code: null, signal: "SIGKILL" } as const;
  expect(received(Buffer.from(""), Buffer.from(""), ended)).toMatchObject({
    exit_code: null,
    signal: "SIGKILL",
  });
});
