import type { ExecOutput, Handlers, InvocationInfo } from "@mx-agent/ipc";
import { describe, expect, test } from "vitest";
import {
  chunk,
  daemon,
  end,
  exec,
  execHandler,
  finished,
  home,
  mx,
  requested,
  resumeHandler,
  servers,
} from "./support/command-line.ts";
import { fakeCli } from "./support/fake-cli.ts";

test.each([
  [true, 0, ""],
  [null, 0, ""],
  [false, 74, "MX_STREAM_INCOMPLETE"],
])("logs whose output has come in full (%s) end with %i", async (complete, code, error) => {
  const parse = (params: unknown) => params as never;
  await daemon({
    "invocation.show": { parse, handle: async () => ({ side: "caller" }) as InvocationInfo },
    "invocation.logs": {
      parse,
      handle: async (_, { send }) => {
        await send(chunk("part"));
        return { result: { ...finished, exit_code: 3, complete } };
      },
    },
  });
  const plain = await mx(["invocation", "logs", "inv_1"]);
  expect(plain).toMatchObject({ code, stdout: "part" });
  expect(plain.stderr).toContain(error);
  const json = await mx(["invocation", "logs", "--json", "inv_1"]);
  const [, end = "{}"] = json.stdout.trim().split("\n");
  expect(json.code).toBe(code);
  expect(JSON.parse(end).error?.code ?? "").toBe(error);
});

describe("exec", () => {
  test("writes what the command wrote, each stream to its own, and ends as it did", async () => {
    await daemon({ "exec.run": execHandler([chunk("out"), chunk("err", "stderr")], { exit_code: 9 }) });
    expect(await mx([...exec, "--", "make"])).toEqual({ code: 9, stdout: "out", stderr: "err" });
  });

  test("with --json is one object, bytes that are no text in base64", async () => {
    const bytes: ExecOutput = { type: "chunk", stream: "stdout", data: "//79" };
    await daemon({ "exec.run": execHandler([bytes, chunk("text", "stderr")], { exit_code: 1 }) });
    const ended = await mx([...exec, "--json", "--", "make", "--json"]);
    expect(ended).toMatchObject({ code: 1, stderr: "" });
    expect(JSON.parse(ended.stdout)).toMatchObject({
      result: { exit_code: 1 },
      stdout: { encoding: "base64", data: "//79" },
      stderr: { encoding: "utf-8", data: "text" },
    });
  });

  test("with --json and an exit status of ours is that object, with `error` in it", async () => {
    await daemon({ "exec.run": execHandler([chunk("part")], { outcome: "timed_out", exit_code: null }) });
    const ended = await mx([...exec, "--json", "--", "make"]);
    expect(ended).toMatchObject({ code: 124, stderr: "mx-agent: MX_TIMED_OUT\n" });
    expect(JSON.parse(ended.stdout)).toMatchObject({
      result: { outcome: "timed_out" },
      stdout: { encoding: "utf-8", data: "part" },
      error: { code: "MX_TIMED_OUT", origin: "remote" },
    });
    const lines = (await mx([...exec, "--json-stream", "--", "make"])).stdout.trimEnd().split("\n");
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({
      ...{ type: "finished", result: { outcome: "timed_out" }, error: { code: "MX_TIMED_OUT" } },
    });
  });

  test("with --json and --json-stream at once is 64", async () => {
    const ended = await mx([...exec, "--json", "--json-stream", "--", "make"]);
    expect(ended).toMatchObject({ code: 64, stderr: "mx-agent: MX_USAGE\n" });
    expect(JSON.parse(ended.stdout)).toMatchObject({ error: { code: "MX_USAGE" } });
  });

  test("with --json-stream is a line for each piece, and the end", async () => {
    await daemon({ "exec.run": execHandler([{ type: "accepted" }, chunk("a"), chunk("b")]) });
    const { stdout } = await mx([...exec, "--json-stream", "--", "make"]);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).type);
    expect(lines).toEqual(["requested", "accepted", "chunk", "chunk", "finished"]);
  });

  test("passes on everything after -- as it is, flags of ours too", async () => {
    let asked: unknown;
    await daemon({
      "exec.run": {
        ...execHandler([]),
        parse: (params) => {
          asked = params;
          return params as never;
        },
      },
    });
    await mx([...exec, "--env", "CI=1", "--timeout", "2m", "--", "npm", "test", "--", "--room", "x y"]);
    expect(asked).toMatchObject({
      ...{ room: "r", agent: "a", env: { CI: "1" }, timeout_ms: 120_000, stdin: true, detach: false },
      command: ["npm", "test", "--", "--room", "x y"],
    });
  });

  test("sends stdin and its end, in order", async () => {
    await daemon({
      "exec.run": {
        parse: (params) => params as never,
        parseInput: (item) => item as never,
        handle: async (_, { send, input }) => {
          await send(requested);
          for await (const item of input) {
            if (item.type === "eof") break;
            await send({ type: "chunk", stream: "stdout", data: item.data });
          }
          return { type: "finished", invocation_id: "inv_1", result: finished };
        },
      },
    });
    const text = "0123456789".repeat(30_000);
    expect((await mx([...exec, "--", "cat"], text)).stdout === text).toBe(true);
  });

  test("is cancelled by the first signal, and left by the second", async () => {
    const started = Promise.withResolvers<void>();
    await daemon({
      "exec.run": {
        ...execHandler([]),
        handle: async (_, { send, signal }) => {
          await send(requested);
          signal.addEventListener("abort", () => started.resolve(), { once: true });
          started.resolve();
          // Never ends: the command there does not die.
          await new Promise(() => {});
          throw new Error("not reached");
        },
      },
    });
    const fake = fakeCli({ env: { MX_AGENT_HOME: home } });
    const ending = end([...exec, "--stdin", "none", "--", "sleep", "9"], fake);
    await started.promise;
    fake.signal("SIGINT");
    fake.signal("SIGINT");
    expect(await ending).toMatchObject({ code: 130 });
  });

  test("goes on with a daemon that was restarted in between, without a byte twice", async () => {
    const begun = Promise.withResolvers<void>();
    const first = await daemon({
      "exec.run": {
        ...execHandler([]),
        handle: async (_, { send, signal }) => {
          await send(requested);
          await send(chunk("one "));
          begun.resolve();
          await new Promise((_resolve, reject) =>
            signal.addEventListener("abort", () => reject(signal.reason)),
          );
          throw new Error("not reached");
        },
      },
    });
    const ending = mx([...exec, "--stdin", "none", "--", "make"]);
    await begun.promise;
    await first.close({ grace_ms: 100 });
    servers.delete(first);
    await daemon({
      "exec.resume": {
        ...resumeHandler,
        handle: async (_, { send }) => {
          await send(chunk("one t"));
          await send(chunk("wo"));
          return { type: "finished", invocation_id: "inv_1", result: { ...finished, exit_code: 4 } };
        },
      },
    });
    expect(await ending).toMatchObject({ code: 4, stdout: "one two" });
  });

  test("goes on over one restart of the daemon after another", async () => {
    const begun = Promise.withResolvers<void>();
    const waits = (entered: () => void): Handlers["exec.run"]["handle"] => {
      return async (_, { send, signal }) => {
        await send(requested);
        entered();
        return new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        );
      };
    };
    let running = await daemon({ "exec.run": { ...execHandler([]), handle: waits(begun.resolve) } });
    const ending = mx([...exec, "--stdin", "none", "--", "make"]);
    await begun.promise;
    for (let n = 1; n <= 3; n++) {
      await running.close({ grace_ms: 100 });
      servers.delete(running);
      const followed = Promise.withResolvers<void>();
      running = await daemon({
        "exec.resume": {
          ...resumeHandler,
          handle: async (_, { send, signal }) => {
            await send(chunk("one two three ".split(" ").slice(0, n).join(" ")));
            followed.resolve();
            if (n === 3) return { type: "finished", invocation_id: "inv_1", result: finished };
            return new Promise((_resolve, reject) =>
              signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
            );
          },
        },
      });
      await followed.promise;
    }
    expect(await ending).toMatchObject({ code: 0, stdout: "one two three" });
  });

  test("is cancelled by a signal after such a restart, too", async () => {
    const begun = Promise.withResolvers<void>();
    const first = await daemon({
      "exec.run": {
        ...execHandler([]),
        handle: async (_, { send, signal }) => {
          await send(requested);
          begun.resolve();
          return new Promise((_resolve, reject) =>
            signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
          );
        },
      },
    });
    const fake = fakeCli({ env: { MX_AGENT_HOME: home } });
    const ending = end([...exec, "--stdin", "none", "--", "sleep", "9"], fake);
    await begun.promise;
    await first.close({ grace_ms: 100 });
    servers.delete(first);
    const followed = Promise.withResolvers<void>();
    await daemon({
      "exec.resume": {
        ...resumeHandler,
        handle: async (_, { signal }) => {
          followed.resolve();
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
          return {
            ...{ type: "finished" as const, invocation_id: "inv_1" },
            result: { ...finished, outcome: "cancelled" as const },
          };
        },
      },
    });
    await followed.promise;
    fake.signal("SIGINT");
    expect(await ending).toMatchObject({ code: 130 });
  });

  test("refused there says what, why and what to do, and ends with whose number it is", async () => {
    await daemon({
      "exec.run": {
        ...execHandler([]),
        handle: async () => ({
          ...{ type: "rejected" as const, invocation_id: "inv_1", request_id: "req_1" },
          ...{ reason: "policy_denied", detail: null, origin: "remote" as const },
        }),
      },
    });
    const ended = await mx([...exec, "--", "rm", "-rf", "a b"]);
    expect(ended).toMatchObject({ code: 77, stdout: "" });
    expect(ended.stderr.split("\n")).toEqual([
      "mx-agent: a in r refused: rm -rf 'a b'",
      "  reason: policy_denied (MX_REFUSED)",
      expect.stringContaining("on a's machine: `mx-agent policy explain req_1`"),
      "mx-agent: MX_REFUSED",
      "",
    ]);
  });
});
