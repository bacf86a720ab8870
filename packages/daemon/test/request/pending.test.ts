import { expect, test } from "vitest";
import { Pending } from "../../src/request/pending.ts";
import { refuseTooLarge } from "../../src/request/size.ts";
import type { Request } from "../../src/state/requests.ts";

const request: Request = {
  invocation_id: "inv_1",
  request_id: "req_1",
  kind: "exec",
  room_id: "!r:x",
  agent: "builder",
  target_user: "@builder:x",
  target_key_id: "key",
  public_key: "",
  legacy: false,
  requesting_agent: "laptop",
  summary: "true",
  request_sha256: "",
  state: "requested",
  reason: null,
  detail: null,
  target_device: null,
  created_ts: 0,
  expires_ts: 1,
  ended_ts: null,
  finished: null,
  result: null,
};

test("who waited may have gone when the run begins or is held, and nothing fails unseen", async () => {
  const unseen: unknown[] = [];
  const note = (error: unknown) => unseen.push(error);
  process.on("unhandledRejection", note);
  const gone = () => Promise.reject(new Error("cancelled"));
  const pending = new Pending(request, {
    tell: () => {},
    inquire: () => {},
    emit: gone,
    now: () => 0,
    media: { download: () => Promise.reject(new Error("nothing there")) },
  });
  pending.held("true", "2026-01-01T00:00:00.000Z");
  pending.accepted();
  await pending.begun;
  await new Promise((resolve) => setImmediate(resolve));
  pending.close();
  process.off("unhandledRejection", note);
  expect(unseen).toEqual([]);
});

test("a request that no receiver would read is refused here, with its size", () => {
  expect(() => refuseTooLarge({ command: ["x".repeat(41_000)] })).toThrow(/may be 40960/);
  expect(() => refuseTooLarge({ command: ["x".repeat(39_000)] })).not.toThrow();
});
