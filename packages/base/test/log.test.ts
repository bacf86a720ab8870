import { oneLine } from "@mx-agent/base";
import { createLogger } from "@mx-agent/base/log";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runFixture } from "./program.ts";

describe("a program that logs secrets in every way there is", () => {
  test("writes none of them, as JSON", async () => {
    const { code, stdout, stderr } = await runFixture("log-secrets.ts", [], { MX_AGENT_LOG_FORMAT: "json" });
    expect(code).toBe(0);
    expect(stdout).toBe("");
    expect(stderr).not.toContain("s3cr3t");
    const lines = stderr
      .trimEnd()
      .split("\n")
      .map((line): Record<string, unknown> => JSON.parse(line));
    expect(lines.map(({ level }) => level)).toEqual("info info info warn info error error info".split(" "));
    for (const line of lines) {
      expect(line.name).toBe("daemon");
      expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    }
    expect(lines[0]).toMatchObject({ msg: "logged in", access_token: "[redacted]", user: "@a:example.org" });
    expect(lines[5]).toMatchObject({ err: { type: "Error", message: expect.stringContaining("bot:***@") } });
    expect(lines[6]).toMatchObject({ msg: "our own", err: { code: "MX_INTERNAL" } });
    expect(lines[7]?.msg).toBe("two\nlines \u001b[31mred");
  });

  test("writes none of them for people, a line for each and no escape sequence", async () => {
    const { stderr } = await runFixture("log-secrets.ts");
    expect(stderr).not.toContain("s3cr3t");
    const lines = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("    at "));
    expect(lines).toHaveLength(8);
    expect(lines[0]).toMatch(
      /^\S+Z INFO {2}daemon: logged in access_token=\[redacted\] user=@a:example\.org$/,
    );
    expect(lines[5]).toContain('error="PUT https://bot:***@example.org failed"');
    expect(lines[6]).toContain("(MX_INTERNAL)");
    expect(lines[7]).toContain("two\\nlines \\u{1b}[31mred");
  });

  test("says more with -v, and as much as MX_AGENT_LOG says", async () => {
    const lines = async (args: string[], env: Record<string, string>) =>
      (await runFixture("log-secrets.ts", args, { ...env, MX_AGENT_LOG_FORMAT: "json" })).stderr.split("\n")
        .length - 1;
    expect(await lines(["1"], {})).toBe(9);
    expect(await lines(["2"], {})).toBe(10);
    expect(await lines([], { MX_AGENT_LOG: "error" })).toBe(2);
    expect(await lines(["1"], { MX_AGENT_LOG: "error" })).toBe(9);
    expect(await lines([], { MX_AGENT_LOG: "silent" })).toBe(0);
  });

  test("refuses a level that does not exist, by the variable's name", async () => {
    const { code, stderr } = await runFixture("log-secrets.ts", [], { MX_AGENT_LOG: "loud" });
    expect(code).not.toBe(0);
    expect(stderr).toContain("MX_AGENT_LOG: must be one of");
  });
});

describe("a logger in process", () => {
  function logged(use: (log: ReturnType<typeof createLogger>) => void): string {
    let text = "";
    use(
      createLogger({
        name: "runner",
        env: {},
        config: { log_level: "debug", log_format: "human" },
        destination: {
          write(line) {
            text += line;
          },
        },
      }),
    );
    return text;
  }

  test("takes level and format from config.toml where the environment says nothing", () => {
    expect(logged((log) => log.debug({ room: "!r:x", n: 3, note: "two words" }, "seen"))).toMatch(
      /DEBUG runner: seen room=!r:x n=3 note="two words"\n$/,
    );
  });

  test("writes anything as one line", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (message, value) => {
        const text = logged((log) => log.info({ [`f_${message}`]: value }, message));
        expect(text.trimEnd().split(/[\n\r\u2028\u2029\u0085]/)).toHaveLength(1);
        expect(text).not.toContain("\u001b");
      }),
      { numRuns: 300 },
    );
  });

  test("text from elsewhere keeps its letters and loses what drives a terminal", () => {
    expect(oneLine("é 日本 😀\t\u009b31m\u202e")).toBe("é 日本 😀\\u{9}\\u{9b}31m\\u{202e}");
  });
});
