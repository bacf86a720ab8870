import { connect } from "node:net";
import { encodeFrame, FrameDecoder, MxError } from "@mx-agent/base";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RUNNER_VERSION } from "../src/index.ts";
import { parseRequest } from "../src/request.ts";
import { decodeMessage, encodeMessage } from "../src/wire.ts";
import { runner, type TestRunner } from "./support/harness.ts";

describe("a message", () => {
  it("comes out as it went in, whatever bytes travel with it", () => {
    fc.assert(
      fc.property(fc.nat(), fc.string(), fc.uint8Array({ maxLength: 2000 }), (id, text, payload) => {
        const frame = encodeMessage({ id, result: { text } }, payload);
        const [body] = new FrameDecoder().push(frame);
        const decoded = decodeMessage(body ?? Buffer.alloc(0));
        expect(decoded.message).toEqual({ id, result: { text } });
        expect(Buffer.from(decoded.payload).equals(Buffer.from(payload))).toBe(true);
      }),
    );
  });
});

describe("a request", () => {
  const spec = {
    run_id: "run_1",
    executable: { path: "/bin/true", dev: 1, ino: 2 },
    argv: ["true"],
    cwd: { path: "/srv", dev: 1, ino: 3 },
    env: { A: "1" },
    sandbox: {
      backend: "bubblewrap",
      network: "deny",
      writable_paths: ["/srv"],
      read_only_paths: [],
      hidden_paths: [],
    },
    limits: {
      max_runtime_ms: 1,
      max_output_bytes: 1,
      max_memory_bytes: null,
      max_processes: null,
      max_file_bytes: null,
      max_cpu_seconds: null,
    },
    stdin: false,
  };
  const start = (more: object) =>
    parseRequest({ id: 1, method: "start", params: { spec: { ...spec, ...more } } });

  it("is taken as it is when it is right", () => {
    expect(start({})).toEqual({ id: 1, method: "start", params: { spec } });
  });

  it("with a wrong field is refused with the field's name", () => {
    const wrong: [string, object][] = [
      ["run_id", { run_id: 1 }],
      ["argv", { argv: [] }],
      ["argv", { argv: ["a\0b"] }],
      ["executable", { executable: "/bin/true" }],
      ["executable.path", { executable: { path: "true", dev: 1, ino: 2 } }],
      ["cwd.ino", { cwd: { path: "/srv", dev: 1 } }],
      ["env", { env: { "A=B": "1" } }],
      ["env", { env: [] }],
      ["sandbox.backend", { sandbox: { backend: "chroot" } }],
      ["sandbox.network", { sandbox: { backend: "bubblewrap", network: "some" } }],
      ["writable_paths", { sandbox: { ...spec.sandbox, writable_paths: ["relative"] } }],
      ["max_runtime_ms", { limits: { ...spec.limits, max_runtime_ms: -1 } }],
      ["max_runtime_ms", { limits: { ...spec.limits, max_runtime_ms: 1.5 } }],
      ["stdin", { stdin: "yes" }],
    ];
    for (const [field, more] of wrong) expect(() => start(more), field).toThrow(field);
  });

  it("of any shape is parsed or refused with an error of ours", () => {
    fc.assert(
      fc.property(
        fc.anything(),
        fc.constantFrom("start", "read", "stdin", "cancel", "hello", "x"),
        (params, method) => {
          for (const message of [params, { id: 1, method, params }]) {
            try {
              parseRequest(message);
            } catch (error) {
              expect(error).toBeInstanceOf(MxError);
            }
          }
        },
      ),
    );
  });
});

describe("the socket", () => {
  let one: TestRunner;
  beforeAll(async () => {
    one = await runner();
  });
  afterAll(() => one[Symbol.asyncDispose]());

  /** Sends these bytes and resolves with what comes back until the runner closes, or until `count` answers came. */
  const send = (bytes: Uint8Array, count: number) =>
    new Promise<unknown[]>((resolve) => {
      const answers: unknown[] = [];
      const decoder = new FrameDecoder();
      const socket = connect(one.socket, () => socket.write(bytes));
      socket.on("data", (data) => {
        for (const body of decoder.push(data)) answers.push(decodeMessage(body).message);
        if (answers.length >= count) socket.destroy();
      });
      socket.on("error", () => socket.destroy());
      socket.on("close", () => resolve(answers));
    });

  it("answers nothing before a hello, and nothing to another major version", async () => {
    const list = encodeMessage({ id: 7, method: "list", params: {} });
    expect(await send(list, 1)).toMatchObject([{ id: 7, error: { code: "MX_PROTOCOL" } }]);
    const version = { ...RUNNER_VERSION, major: RUNNER_VERSION.major + 1 };
    const hello = encodeMessage({ id: 1, method: "hello", params: { version } });
    const answers = await send(Buffer.concat([hello, list]), 2);
    expect(answers.sort((a, b) => Object(a).id - Object(b).id)).toMatchObject([
      { id: 1, result: { version: RUNNER_VERSION } },
      { id: 7, error: { code: "MX_PROTOCOL" } },
    ]);
  });

  it("outlives whatever is sent to it", async () => {
    const garbage = [
      Buffer.alloc(64, 0xff),
      encodeFrame("{"),
      encodeFrame(""),
      encodeFrame("[]"),
      encodeFrame('{"id":1}'),
    ];
    for (const bytes of garbage) await send(bytes, 1);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        await send(encodeFrame(bytes), 1);
      }),
      { numRuns: 30 },
    );
    expect(await one.sh("echo alive")).toMatchObject({ outcome: "exited", stdout: "alive\n" });
  });
});
