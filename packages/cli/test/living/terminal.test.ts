/** What a person at a terminal sees of a command, whatever the terminal is like. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../../../../scripts/eventually.ts";
import { nouns } from "../../src/nouns.ts";
import { cut, widthOf } from "../../src/render/screen.ts";
import { table } from "../../src/render/table.ts";
import { run } from "../../src/run.ts";
import { commandTree, leaves } from "../../src/tree.ts";
import { type Home, home } from "../support/daemon-of.ts";
import { fakeCli } from "../support/fake-cli.ts";

let here: Home;
beforeEach(async () => {
  here = await home();
});
afterEach(() => here.close());

describe("help", () => {
  test("of every command has an example of itself", async () => {
    const all = leaves(await commandTree()).map(({ path }) => path);
    expect(all.length).toBeGreaterThan(45);
    for (const path of all) {
      const { code, stdout } = await here.mx([...path, "--help"]);
      expect([code, path.join(" ")]).toEqual([0, path.join(" ")]);
      expect(stdout).toContain(`Example:\n  mx-agent ${path.join(" ")}`);
    }
    for (const { name, hidden } of nouns)
      if (hidden !== true)
        expect((await here.mx([name, "--help"])).stdout).toContain(`Example:\n  mx-agent ${name}`);
    expect((await here.mx(["--help"])).stdout).toMatch(/Example.*:\n {2}mx-agent up\n {2}mx-agent join /);
  });

  test("fits a terminal of 40 columns, but for words that are longer and what is typed in one line", async () => {
    for (const { path } of [{ path: [] as string[] }, ...leaves(await commandTree())]) {
      const { stdout } = await here.mx([...path, "--help"], { columns: 40 });
      const wide = stdout
        .split("\n")
        .filter((line) => line.length > 40 && !/^ {2,}(mx-agent|echo|--) |^ {2,}--|^Usage: /.test(line))
        .filter((line) => (line.trim().split(/ {2,}/).at(-1) ?? "").includes(" "));
      expect([path, wide]).toEqual([path, []]);
    }
  });
});

/** What would change this machine, or ask another one. */
const ELSEWHERE = ["daemon start", "daemon restart", "update check"];
/** Their answer is what they found. */
const FINDS = ["doctor"];

test("every command with --json answers with JSON alone, on a machine where nothing is set up", async () => {
  const all = leaves(await commandTree()).map(({ path }) => path);
  for (const path of all.filter(
    ([noun, verb]) => noun !== "service" && !ELSEWHERE.includes(`${noun} ${verb}`),
  )) {
    const { code, stdout } = await here.mx([...path, "--json"]);
    const lines = stdout.split("\n").filter((line) => line !== "");
    const said = lines.map((line): unknown => JSON.parse(line));
    expect([path, code], stdout).not.toEqual([path, 70]);
    if (code === 0 || FINDS.includes(path.join(" "))) continue;
    expect([path, said]).toEqual([
      path,
      [
        {
          error: expect.objectContaining({
            code: expect.stringMatching(/^MX_/),
            hint: expect.stringMatching(/./),
          }),
        },
      ],
    ]);
  }
});

test("who has just installed it is told what to type first", async () => {
  for (const words of [["status"], ["workspace", "list"], ["agent", "list", "--room", "farm"]]) {
    const { stderr } = await here.mx(words);
    expect(stderr).toContain("`mx-agent up`, or `mx-agent join LINK`");
  }
});

test("the log with --json is one object for each line", async () => {
  await writeFile(join(here.dir, "data", "daemon.log"), "one\ntwo ü\n", { mode: 0o600 });
  expect((await here.mx(["daemon", "logs", "--json"])).stdout).toBe('{"line":"one"}\n{"line":"two ü"}\n');
});

describe("a mistyped command is answered with what was meant", () => {
  test.each([
    [["daemn", "start"], "daemon"],
    [["daemon", "strat"], "start"],
    [["exec", "--rom", "x"], "--room"],
    [["login"], "auth login"],
    [["ssh", "builder"], "exec"],
    [["approve"], "trust approve"],
    [["setup"], "up"],
    [["help", "exce"], "exec"],
  ])("%j", async (words, meant) => {
    const { code, stderr } = await here.mx(words);
    expect(code).toBe(64);
    expect(stderr).toContain(`(Did you mean ${meant}?)`);
  });
});

describe("a table", () => {
  const rows = [["builder", "@builder:example.org", "SHA256:abcdefghijklmnopqrstuvwxyz"]];

  test("that is too wide for the terminal is a block for each row", () => {
    expect(table(["AGENT", "USER", "KEY"], rows, 40)).toBe(
      "agent: builder\nuser:  @builder:example.org\nkey:   SHA256:abcdefghijklmnopqrstuvwxyz",
    );
  });

  test("has its columns below one another, whatever script a name is written in", () => {
    const names = ["builder", "büilder", "bu\u0308ilder", "建築者", "빌더", "🛠 shed"];
    const lines = table(
      ["AGENT", "USER"],
      names.map((name) => [name, "@"]),
      80,
    ).split("\n");
    const before = (line: string) => widthOf(line.slice(0, line.search(/[@U]/)));
    expect(lines.map(before)).toEqual(lines.map(() => 9));
    expect(widthOf(cut("建築者建築者建築者", 12))).toBeLessThanOrEqual(12);
  });

  test("is a table for a file or a program, however wide it is", () => {
    expect(table(["AGENT", "USER", "KEY"], rows, Number.POSITIVE_INFINITY)).toMatch(/^AGENT +USER +KEY\n/);
  });
});

describe("what takes more than a second", () => {
  const slow = () => {
    const answered = Promise.withResolvers<[]>();
    return {
      answer: () => answered.resolve([]),
      ready: here.daemon({ "workspace.list": () => answered.promise }),
    };
  };

  test("is seen to go on, and leaves nothing on the terminal", async () => {
    const { answer, ready } = slow();
    await ready;
    const fake = fakeCli({ env: here.env });
    Object.assign(fake.cli.stderr, { isTTY: true, columns: 40 });
    const ended = run(["workspace", "list"], fake.cli);
    await eventually(async () => fake.stderr().includes("waiting: workspace list (1 s)"));
    answer();
    expect(await ended).toBe(0);
    expect(fake.stderr().endsWith("\r\u001b[K")).toBe(true);
    expect(fake.stdout()).toBe("no workspaces\n");
  });

  test("writes nothing where no person sees it", async () => {
    const { answer, ready } = slow();
    await ready;
    const fake = fakeCli({ env: here.env });
    const ended = run(["workspace", "list"], fake.cli);
    setTimeout(answer, 1500);
    await ended;
    expect(fake.stderr()).toBe("");
  });
});
