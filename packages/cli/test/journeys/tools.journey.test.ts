import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { type TwoDaemons, twoDaemons } from "../support/two-daemons.ts";

let they: TwoDaemons;
beforeAll(async () => {
  they = await twoDaemons({ policy: sandboxed });
});
afterAll(() => they?.close());

/** Everything in bubblewrap; two tools beside a few commands. */
const sandboxed = (room: string, user: string, project: string) => `version = 1
[execution]
sandbox = "bubblewrap"
network = "deny"
max_runtime_ms = 60_000
[rooms."${room}"]
trusted = true
[rooms."${room}".agents."${user}"]
allow_exec = true
allow_commands = ["cat", "ls", "sh", "true"]
allow_cwd = ["${project}"]
allow_tools = ["greet@1", "fail@1", "talk@1", "wait@1"]
[tools.greet]
version = "1.2.0"
description = "Greet somebody, by name"
input = { type = "object", properties = { name = { type = "string", pattern = "^[a-z]+$" } }, required = ["name"], additionalProperties = false }
command = ["echo", "hello {name}"]
cwd = "${project}"
[tools.fail]
version = "1.0.0"
description = "End with 3"
input = { type = "object", properties = {}, additionalProperties = false }
command = ["sh", "-c", "echo so far; echo but >&2; exit 3"]
cwd = "${project}"
[tools.talk]
version = "1.0.0"
description = "Say a sentence in quotes many times"
input = { type = "object", properties = { times = { type = "integer", minimum = 1 } }, required = ["times"], additionalProperties = false }
command = ["sh", "-c", 'for n in $(seq "$0"); do echo "\\"said\\" $n"; done', "{times}"]
cwd = "${project}"
[tools.wait]
version = "1.0.0"
description = "Wait for ever"
input = { type = "object", properties = {}, additionalProperties = false }
command = ["sh", "-c", "echo waiting; sleep 600"]
cwd = "${project}"
[tools.secret]
version = "1.0.0"
description = "Nobody may call it"
input = { type = "object", properties = {}, additionalProperties = false }
command = ["true"]
cwd = "${project}"
`;

const target = () => ["--room", they.room, "--agent", "builder"];
const call = (tool: string, ...rest: string[]) =>
  they.laptop.run(["call", ...target(), "--tool", tool, ...rest]);

describe("a command in the sandbox", () => {
  test("gives its output and its exit status, and writes into the project", async () => {
    const ended = await they.exec(["sh", "-c", "echo inside > made; cat made; exit 6"]);
    expect(ended).toMatchObject({ code: 6, stdout: "inside\n" });
    expect(await readFile(join(they.project, "made"), "utf8")).toBe("inside\n");
  });

  test("sees neither the daemon's files nor its sockets, nor the network", async () => {
    const { home } = they.builder;
    const program = `for d in config data runtime; do ls ${home}/$d 2>/dev/null; done; cat /proc/net/dev`;
    const { stdout, stderr } = await they.exec(["sh", "-c", program]);
    expect(stderr).toBe("");
    expect(stdout).not.toMatch(/state\.db|policy\.toml|\.sock/);
    expect(stdout.match(/^ *\w+:/gm)?.map((line) => line.trim())).toEqual(["lo:"]);
  });

  test("is ended by Ctrl-C with everything that it started", async () => {
    const live = they.execLive(["sh", "-c", "sleep 606 & echo begun; wait"]);
    await live.until("begun\n");
    live.signal("SIGINT");
    expect(await live.ended).toMatchObject({ code: 130 });
  });
});

describe("a tool", () => {
  test("is listed with what it takes, once its operator has defined it", async () => {
    await eventually(async () => {
      const tools = await they.laptop.ask<{ name: string }[]>(["tools", "list", "--room", they.room]);
      return tools.some(({ name }) => name === "greet");
    });
    const tools = await they.laptop.run(["tools", "list", "--room", they.room]);
    expect(tools.stdout).toMatch(/greet@1\.2\.0 +builder +Greet somebody, by name/);
    expect(await they.laptop.ask(["tools", "show", "greet@1", ...target()])).toMatchObject({
      name: "greet",
      version: "1.2.0",
      input_schema: { required: ["name"] },
    });
    expect((await they.laptop.run(["tools", "show", "nothing", ...target()])).code).toBe(3);
  });

  test("gives its output and its own exit status", async () => {
    expect(await call("greet", "--arg", "name=ada")).toEqual({ code: 0, stdout: "hello ada\n", stderr: "" });
    expect(await call("greet@1", "--arg", "name=ada")).toMatchObject({ code: 0 });
    expect(await call("fail")).toEqual({ code: 3, stdout: "so far\n", stderr: "but\n" });
  });

  test("is on record with the version and the command that it came to", async () => {
    await call("greet@1", "--arg", "name=eve");
    const { stdout } = await they.builder.run(["audit", "tail", "-n", "2", "--json"]);
    expect(JSON.parse(stdout.split("\n")[0] ?? "")).toMatchObject({
      kind: "decision",
      decision: "allow",
      tool: "greet@1.2.0",
      command: [expect.stringMatching(/\/echo$/), "hello eve"],
      cwd: they.project,
    });
  });

  test("that takes longer than it is given is ended: 124, and its operator's machine knows", async () => {
    const ended = await call("wait", "--timeout", "1s");
    expect(ended.code).toBe(124);
    expect(ended.stderr).toMatch(/mx-agent: MX_TIMED_OUT\n$/);
    const { stdout } = await they.builder.run(["audit", "tail", "-n", "1", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ kind: "outcome", outcome: "timed_out" });
  });

  test("is ended by Ctrl-C, and what it did until then is the answer: 130", async () => {
    const live = they.laptop.spawn(["call", ...target(), "--tool", "wait", "--json"]);
    type Listed = { invocation_id: string; state: string }[];
    const [running] = await eventually(async () => {
      const found = await they.builder.ask<Listed>(["invocation", "list", "--side", "executor", "--running"]);
      return found[0]?.state === "running" && found;
    });
    live.signal("SIGINT");
    const ended = await live.ended;
    expect(ended.code).toBe(130);
    expect(ended.stderr).toMatch(/mx-agent: MX_CANCELLED\n$/);
    const shown = ["invocation", "show", running?.invocation_id ?? ""];
    expect(await they.builder.ask(shown)).toMatchObject({ state: "ended", result: { outcome: "cancelled" } });
  });

  test("that was called can be waited for by its id, also when it has ended", async () => {
    await call("fail");
    const asked = await they.laptop.ask<{ invocation_id: string; kind: string }[]>([
      ...["invocation", "list", "--side", "caller", "--limit", "1"],
    ]);
    expect(asked).toMatchObject([{ kind: "call" }]);
    const ended = await they.laptop.run(["invocation", "wait", asked[0]?.invocation_id ?? "", "--json"]);
    expect(ended.code).toBe(3);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      type: "finished",
      result: { outcome: "exited", exit_code: 3, stdout_bytes: "so far\n".length, complete: true },
    });
  });

  test("that says more than an answer has room for is heard as far as it goes, and is no success", async () => {
    const input = join(they.laptop.home, "times.json");
    await writeFile(input, '{"times":1500}');
    const much = await call("talk", "--input", input);
    expect(much).toMatchObject({ code: 0, stderr: "" });
    expect(much.stdout.split("\n")).toHaveLength(1501);
    await writeFile(input, '{"times":20000}');
    const more = await call("talk", "--input", input);
    expect(more.code).toBe(74);
    expect(more.stdout).toMatch(/^"said" 1\n"said" 2\n/);
    expect(more.stderr).toMatch(/MX_STREAM_INCOMPLETE\n$/);
  });

  test("takes a JSON object from a file or stdin", async () => {
    const file = join(they.laptop.home, "input.json");
    await writeFile(file, '{"name":"grace"}');
    expect(await call("greet", "--input", file)).toMatchObject({ code: 0, stdout: "hello grace\n" });
    const args = ["call", ...target(), "--tool", "greet", "--input", "-"];
    expect(await they.laptop.run(args, { stdin: '{"name":"mary"}' })).toMatchObject({
      stdout: "hello mary\n",
    });
    expect(await they.laptop.run(args, { stdin: "{name: mary}" })).toMatchObject({ code: 65, stdout: "" });
    expect(await they.laptop.run(args, { stdin: '["mary"]' })).toMatchObject({ code: 65, stdout: "" });
  });

  test("with --json is one object", async () => {
    const ended = await call("greet", "--arg", "name=ada", "--json");
    expect(JSON.parse(ended.stdout)).toMatchObject({
      ok: true,
      result: { exit_code: 0, stdout: "hello ada\n" },
    });
  });

  test("is not run on input that it does not take: no shell, no other argument", async () => {
    for (const name of ["Ada", "x; id", "$(id)", "--help", ""]) {
      const refused = await call("greet", "--arg", `name=${name}`);
      expect([name, refused.code, refused.stdout]).toEqual([name, 65, ""]);
    }
    expect(await call("greet", "--arg", "name=ada", "--arg", "more=1")).toMatchObject({ code: 65 });
    expect(await call("greet")).toMatchObject({ code: 65 });
  });

  test("that is not allowed is refused like one that is not there, or as a command is", async () => {
    const secret = await call("secret");
    expect([77, 127]).toContain(secret.code);
    const unknown = await call("nothing");
    expect([77, 127]).toContain(unknown.code);
    expect(unknown.stderr).toMatch(/mx-agent: MX_(REFUSED|COMMAND_NOT_FOUND)\n$/);
    const other = await call("greet@2", "--arg", "name=ada");
    expect([77, 127]).toContain(other.code);
  });

  test("without half of its target, or with an argument that is no pair, is a mistake of usage", async () => {
    const half = await they.laptop.run(["call", "--room", they.room, "--tool", "greet"]);
    expect(half.code).toBe(64);
    expect(half.stderr).toMatch(/mx-agent: MX_HALF_TARGET\n$/);
    expect(await call("greet", "--arg", "ada")).toMatchObject({ code: 64 });
  });
});

describe("the record", () => {
  test("tells of a run by its id, and goes on telling", async () => {
    const following = they.builder.spawn(["audit", "tail", "-f", "-n", "1", "--json"]);
    await following.until("\n");
    const { stdout } = await they.exec(["true"], { flags: ["--json"] });
    const { invocation_id } = JSON.parse(stdout);
    await following.until(invocation_id);
    following.signal("SIGINT");
    expect((await following.ended).code).toBe(130);
    const lines = await they.builder.ask<{ seq: number }[]>(["audit", "show", invocation_id]);
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect((await they.builder.run(["audit", "show", invocation_id])).stdout).toContain(invocation_id);
  });

  test("of which a line was changed, removed or put elsewhere is found: 65", async () => {
    const before = await they.builder.ask<{ ok: boolean; files: string[] }>(["audit", "verify"]);
    expect(before.ok).toBe(true);
    const copy = join(they.builder.home, "copy.jsonl");
    const text = await readFile(before.files.at(-1) ?? "", "utf8");
    await writeFile(copy, text, { mode: 0o600 });
    expect(await they.builder.run(["audit", "verify", copy])).toMatchObject({ code: 0 });
    const [first = "", second = "", ...rest] = text.split("\n");
    for (const damaged of [
      text.replace(/"ts":"20/, '"ts":"19'),
      [first, ...rest].join("\n"),
      [second, first, ...rest].join("\n"),
    ]) {
      await writeFile(copy, damaged);
      const found = await they.builder.run(["audit", "verify", copy]);
      expect(found.code).toBe(65);
      expect(found.stdout).toContain("NOT as it was written");
    }
  });

  test("that is cut while its daemon runs is found: 65, and takes nothing more", async () => {
    const { files } = await they.builder.ask<{ files: string[] }>(["audit", "verify"]);
    const file = files.at(-1) ?? "";
    const text = await readFile(file, "utf8");
    await truncate(file, text.trimEnd().lastIndexOf("\n") + 1);
    expect((await they.builder.run(["audit", "verify"])).code).toBe(65);
    expect((await they.exec(["true"])).code).toBe(77);
    await writeFile(file, text);
    expect(await they.builder.run(["audit", "verify"])).toMatchObject({ code: 0 });
    expect(await they.exec(["true"])).toMatchObject({ code: 0 });
  });
});

describe("policy explain", () => {
  const explain = (...words: string[]) =>
    they.builder.run([
      ...["policy", "explain", "--room", they.room, "--user", they.laptop.user, "--json"],
      ...words,
    ]);

  test("says beforehand what would become of a request", async () => {
    const allowed = await explain("--cwd", they.project, "--", "cat", "made");
    expect(JSON.parse(allowed.stdout)).toMatchObject({ decision: "allow" });
    const denied = await explain("--cwd", they.project, "--", "rm", "made");
    expect(JSON.parse(denied.stdout)).toMatchObject({ decision: "deny" });
    const elsewhere = await explain("--cwd", "/", "--", "cat", "made");
    expect(JSON.parse(elsewhere.stdout)).toMatchObject({ decision: "deny" });
    const tool = await explain("--tool", "fail@1");
    expect(JSON.parse(tool.stdout)).toMatchObject({ decision: "allow" });
    const secret = await explain("--tool", "secret");
    expect(JSON.parse(secret.stdout)).toMatchObject({ decision: "deny" });
  });

  test("of a request that nobody made is 3, of half a question 64", async () => {
    expect((await they.builder.run(["policy", "explain", "req_nothing"])).code).toBe(3);
    expect((await they.builder.run(["policy", "explain"])).code).toBe(64);
    expect((await explain()).code).toBe(64);
  });
});
