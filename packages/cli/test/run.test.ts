import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mxError } from "@mx-agent/base";
import type { CallContext, ExecOutput, Handlers, InvocationInfo, InvocationResult } from "@mx-agent/ipc";
import { type IpcServer, serve } from "@mx-agent/ipc/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { handlers, me } from "../../ipc/test/support/lapitest.ts";
import { nouns } from "../src/nouns.ts";
import { run } from "../src/run.ts";
import { type FakeCli, fakeCli } from "./support/fake-cli.ts";

let home: string;
const servers = new Set<IpcServer>();
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "mx-cli-"));
  await mkdir(join(home, "runtime"), { mode: 0o700 });
});
afterEach(async () => {
  for (const server of servers) await server.close({ grace_ms: 0 });
  servers.clear();
  await rm(home, { recursive: true });
});

/** A daemon that answers as the test says, on the real sockets of this home. */
async function daemon(some: Partial<Handlers>): Promise<IpcServer> {
  const server = await serve({
    sockets: socketsOf(home),
    handlers: handlers(some),
    version: "0.0.1",
    peerOf: () => ({ uid: me, pid: process.pid }),
    refusePid: () => false,
    onError: () => {},
  });
  servers.add(server);
  return server;
}

const socketsOf = (at: string) => ({
  daemon: join(at, "runtime", "daemon.sock"),
  agent: join(at, "runtime", "agent.sock"),
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

async function mx(words: string[], stdin?: string): Promise<Ended> {
  return end(words, fakeCli({ env: { MX_AGENT_HOME: home }, ...(stdin === undefined ? {} : { stdin }) }));
}

async function end(words: string[], fake: FakeCli): Promise<Ended> {
  const code = await run(words, fake.cli);
  return { code, stdout: fake.stdout(), stderr: fake.stderr() };
}

const exec = ["exec", "--room", "r", "--agent", "a"];
const requested: ExecOutput = { type: "requested", invocation_id: "inv_1", request_id: "req_1" };
const chunk = (data: string, stream: "stdout" | "stderr" = "stdout"): ExecOutput => ({
  type: "chunk",
  stream,
  data: Buffer.from(data).toString("base64"),
});
const finished: InvocationResult = {
  ...{ outcome: "exited", exit_code: 0, signal: null, duration_ms: 10 },
  ...{ stdout_bytes: 0, stderr_bytes: 0, truncated: false, complete: true },
};

/** An `exec.run` that says these things and then ends. */
function execHandler(items: ExecOutput[], result: Partial<InvocationResult> = {}): Handlers["exec.run"] {
  return {
    parse: (params) => params as never,
    parseInput: (item) => item as never,
    handle: async (_, { send }: CallContext<"exec.run">) => {
      for (const item of [requested, ...items]) await send(item);
      return { type: "finished", invocation_id: "inv_1", result: { ...finished, ...result } };
    },
  };
}

const resumeHandler: Pick<Handlers["exec.resume"], "parse" | "parseInput"> = {
  parse: (params) => params as never,
  parseInput: (item) => item as never,
};

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

describe("a command line that means nothing is 64, and says where help is", () => {
  test.each([
    [["frobnicate"]],
    [["daemon"]],
    [["daemon", "frobnicate"]],
    [["daemon", "status", "--frobnicate"]],
    [["daemon", "status", "extra"]],
    [["workspace", "create"]],
    [["trust", "revoke"]],
    [["agent", "ping", "--room", "r", "--agent", "a", "--timeout", "soon"]],
    [["audit", "tail", "-n", "-1"]],
    [["invocation", "list", "--side", "both"]],
    [["invocation", "list", "--limit", "many"]],
    [["invocation", "list", "--limit", "0"]],
    [["workspace", "grant", "@a:b", "--level", "1.5", "--room", "r"]],
    [["auth", "login", "--homeserver", "http://h", "--token-stdin", "--register"]],
  ])("%j", async (words) => {
    const ended = await mx(words);
    expect(ended).toMatchObject({ code: 64, stdout: "" });
    expect(ended.stderr).toMatch(/MX_USAGE/);
    expect(ended.stderr).toMatch(/see `mx-agent (help [a-z ]*[a-z]|--help)`/);
  });
});

test.each([
  [["trust", "revoke"], "help trust revoke`; for example `mx-agent trust revoke "],
  [["trust", "approve", "a", "--frobnicate"], "help trust approve`; for example `mx-agent trust approve "],
  [["agent", "ping", "--timeout", "soon"], "help agent ping`; for example `mx-agent agent ping"],
  [["exec", "--room", "r", "--agent", "a"], "help exec`; for example `mx-agent exec "],
  [["join", "LINK", "--allow-commands", "ls"], "help join`; for example `mx-agent join "],
  [["daemon", "frobnicate"], "help daemon`"],
  [["frobnicate"], "see `mx-agent --help`"],
])("a mistake in %j is told with that command's help, and its example", async (words, hint) => {
  const ended = await mx(words);
  expect(ended.code).toBe(64);
  expect(ended.stderr).toContain(hint);
});

describe("help", () => {
  test("is the answer: on stdout, with 0, for every command", async () => {
    for (const { name, hidden } of nouns.filter((noun) => !noun.hidden)) {
      const ended = await mx([name, "--help"]);
      expect([name, hidden, ended.code, ended.stderr]).toEqual([name, undefined, 0, ""]);
      expect(ended.stdout).toContain(`Usage: mx-agent ${name}`);
    }
    expect((await mx([])).stdout).toContain("Usage: mx-agent");
    expect((await mx(["help", "daemon"])).stdout).toContain("Usage: mx-agent daemon");
    expect((await mx(["--version"])).stdout).toBe("mx-agent 0.0.1\n");
  });

  test("does not show what mx-agent starts itself", async () => {
    expect((await mx([])).stdout).not.toContain("daemon-process");
  });
});

describe("without a daemon", () => {
  test("a question about it is 3, and everything else 69", async () => {
    expect(await mx(["daemon", "status"])).toMatchObject({ code: 3, stdout: "" });
    expect(await mx(["workspace", "list"])).toMatchObject({ code: 69, stdout: "" });
    const ended = await mx([...exec, "--", "true"]);
    expect(ended.code).toBe(69);
    expect(ended.stderr).toMatch(/daemon start`?\n.*mx-agent: MX_DAEMON_UNREACHABLE\n$/s);
  });
});

describe("where the daemon should be", () => {
  test("a directory that others may enter is not spoken to, nor configuration that others may write", async () => {
    await daemon({ "workspace.list": { parse: (params) => params as never, handle: async () => [] } });
    expect(await mx(["workspace", "list"])).toMatchObject({ code: 0 });
    await chmod(join(home, "runtime"), 0o755);
    const entered = await mx(["workspace", "list"]);
    expect(entered.code).toBe(78);
    expect(entered.stderr).toMatch(/runtime can be entered by others \(mode 0755\)\n.*MX_INSECURE_PATH/s);
    await chmod(join(home, "runtime"), 0o700);
    await mkdir(join(home, "config"), { mode: 0o700 });
    await writeFile(join(home, "config", "config.toml"), 'default_agent = "evil"\n');
    await chmod(join(home, "config", "config.toml"), 0o666);
    const written = await mx([...exec, "--", "true"]);
    expect(written).toMatchObject({ code: 78 });
    expect(written.stderr).toMatch(/config.toml can be written by others/);
    await chmod(join(home, "config", "config.toml"), 0o600);
    await chmod(join(home, "config"), 0o777);
    expect((await mx([...exec, "--", "true"])).stderr).toMatch(/config can be entered by others/);
  });

  test("a plain file is named, with what to do about it", async () => {
    await writeFile(join(home, "runtime", "agent.sock"), "");
    const ended = await mx(["daemon", "status"]);
    expect(ended.code).toBe(78);
    expect(ended.stderr).toMatch(/not a socket is in the way/);
    expect(ended.stderr).toMatch(/move it away: `ls -ld .*agent\.sock`/);
  });
});

describe("with -v", () => {
  test("what is asked whom is said on stderr, and stdout stays the answer", async () => {
    await daemon({ "exec.run": execHandler([{ type: "accepted" }, chunk("out")]) });
    const said = await mx([...exec, "-v", "--", "make", "-v"]);
    expect(said).toMatchObject({ code: 0, stdout: "out" });
    const lines = said.stderr.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^mx-agent: exec\.run: asking at .*agent\.sock$/);
    expect(lines.slice(1)).toEqual(["mx-agent: sent as inv_1 (request req_1)", "mx-agent: it was accepted"]);
    expect((await mx([...exec, "--", "make", "-v"])).stderr).toBe("");
  });
});

describe("errors of the daemon", () => {
  test.each([
    ["MX_NOT_LOGGED_IN", 3],
    ["MX_NOT_FOUND", 3],
    ["MX_UNTRUSTED", 77],
    ["MX_HOMESERVER_UNREACHABLE", 69],
    ["MX_CONFIG", 78],
    ["MX_INTERNAL", 70],
  ] as const)("%s end with %i, in three lines or one object", async (name, code) => {
    const fails = () => Promise.reject(mxError(name, { what: "thing", name: "x", detail: "d" }));
    await daemon({ "workspace.list": { parse: (params) => params as never, handle: fails } });
    const said = await mx(["workspace", "list"]);
    expect(said).toMatchObject({ code, stdout: "" });
    expect(said.stderr).toContain(`reason: ${name}`);
    const json = await mx(["workspace", "list", "--json"]);
    expect(json).toMatchObject({ code, stderr: "" });
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: name, origin: "local" } });
  });
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
