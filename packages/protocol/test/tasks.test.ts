import {
  authorizeAction,
  canonicalBytes,
  generateSigningKey,
  parseContent,
  signOrigin,
  type TaskAction,
  verifyAuthorization,
  verifyBinding,
  verifyOrigin,
} from "@mx-agent/protocol";
import { describe, expect, test } from "vitest";
import { verifyBytes } from "../src/signing.ts";
import { examples } from "./examples.ts";

const key = generateSigningKey();
const stranger = generateSigningKey();
const binding = {
  room_id: "!room:example.org",
  type: "com.mxagent.task.v1",
  sender: "@alice:example.org",
  device_id: "ABCDEFGH",
};
const exec: TaskAction = {
  type: "exec",
  command: ["npm", "test"],
  cwd: "/srv",
  env: { CI: "1" },
  timeout_ms: null,
  stream: true,
};
const terms = {
  requesting_agent: "laptop",
  target_agent: "builder",
  created_at: "2026-06-02T12:00:00.000Z",
  expires_at: "2026-06-03T12:00:00.000Z",
  nonce: "nonce",
};
const action = authorizeAction("task_1", exec, terms, key);
const task = { task_id: "task_1", depends_on: ["task_0"], action };

describe("a task's authorization", () => {
  test("verifies after JSON, for tool and exec, by the key that gave it alone", () => {
    const received = JSON.parse(JSON.stringify(task));
    expect(verifyAuthorization(received, key.publicKey)).toBe("ok");
    expect(verifyAuthorization(received, stranger.publicKey)).toBe("invalid_signature");
    const tool = authorizeAction("task_1", { type: "tool", tool: "lint", args: { fix: true } }, terms, key);
    expect(verifyAuthorization({ ...task, action: tool }, key.publicKey)).toBe("ok");
  });

  test("covers exactly {task_id, action without authorization, authorization without signature}", () => {
    const bytes = canonicalBytes({ task_id: "task_1", action: exec, authorization: terms });
    expect(verifyBytes(bytes, action.authorization?.signature, key.publicKey)).toBe(true);
  });

  test("of another task, action, agent or time does not verify", () => {
    const { authorization } = action;
    if (authorization === undefined) throw new Error("it was just made");
    for (const changed of [
      { ...task, task_id: "task_2" },
      { ...task, action: { ...exec, command: ["rm"], authorization } },
      { ...task, action: { ...exec, env: {}, authorization } },
      { ...task, action: { ...exec, timeout_ms: 1, authorization } },
      { ...task, action: { ...exec, authorization: { ...authorization, target_agent: "laptop" } } },
      { ...task, action: { ...exec, authorization: { ...authorization, nonce: "other" } } },
      {
        ...task,
        action: { ...exec, authorization: { ...authorization, expires_at: "2027-06-03T12:00:00.000Z" } },
      },
    ])
      expect(verifyAuthorization(changed, key.publicKey)).toBe("invalid_signature");
  });

  test("that is not there is unsigned", () => {
    expect(verifyAuthorization({ ...task, action: exec }, key.publicKey)).toBe("unsigned");
    expect(verifyAuthorization({ task_id: "task_1", depends_on: [] }, key.publicKey)).toBe("unsigned");
  });

  test("passes the task's schema", () => {
    const content = { ...examples["com.mxagent.task.v1"].content, action };
    expect(parseContent("com.mxagent.task.v1", content).ok).toBe(true);
  });
});

describe("a task's origin", () => {
  const origin = signOrigin(task, key, binding);

  test("verifies, and binds the task to its room and creator", () => {
    const received = JSON.parse(JSON.stringify({ ...task, origin }));
    expect(verifyOrigin(received, key.publicKey)).toBe("ok");
    expect(verifyBinding(received.origin, { ...binding, device_id: null })).toBe("ok");
    expect(verifyOrigin(task, key.publicKey)).toBe("unsigned");
  });

  test("covers exactly {task_id, action, authorization, depends_on, binding}", () => {
    const { authorization } = action;
    const bytes = canonicalBytes({
      task_id: "task_1",
      action: exec,
      authorization,
      depends_on: ["task_0"],
      binding,
    });
    expect(verifyBytes(bytes, origin.signature, key.publicKey)).toBe(true);
  });

  test("survives a new title, state and result, but not new dependencies, action or binding", () => {
    const updated = { ...task, origin, title: "new", state: "succeeded", result: { status: "succeeded" } };
    expect(verifyOrigin(updated, key.publicKey)).toBe("ok");
    for (const changed of [
      { ...task, origin, depends_on: [] },
      { ...task, origin, task_id: "task_2" },
      { ...task, origin, action: exec },
      { task_id: "task_1", depends_on: ["task_0"], origin },
      { ...task, origin: { ...origin, binding: { ...binding, room_id: "!other:example.org" } } },
    ])
      expect(verifyOrigin(changed, key.publicKey)).toBe("invalid_signature");
  });

  test("of a task without an action is signed all the same", () => {
    const planning = { task_id: "task_2", depends_on: [] };
    expect(verifyOrigin({ ...planning, origin: signOrigin(planning, key, binding) }, key.publicKey)).toBe(
      "ok",
    );
  });
});
