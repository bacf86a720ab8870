import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { MxError } from "@mx-agent/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { refuseBytes } from "../src/parse/argv.ts";
import { parseDuration } from "../src/parse/duration.ts";
import { parseEnv, refuseSecrets } from "../src/parse/env.ts";
import { roomOf, targetOf } from "../src/parse/target.ts";
import { parseTime } from "../src/parse/time.ts";
import { parseAddress } from "../src/parse/url.ts";

const codeOf = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof MxError ? error.code : String(error);
  }
};

describe("a time", () => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  test.each([
    ["10m", "2026-03-01T11:50:00.000Z"],
    ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"],
    ["2026-01-31T12:00:00.250+01:00", "2026-01-31T11:00:00.250Z"],
    ["2026-01-31", "2026-01-31T00:00:00.000Z"],
  ])("%s is %s", (text, time) => expect(new Date(parseTime(text, "--since", now)).toISOString()).toBe(time));

  test.each(["", "noon", "2026-13-31", "2026-01-31T25:00:00Z", "-5m", "1769860800"])("%j is none", (text) =>
    expect(codeOf(() => parseTime(text, "--since"))).toBe("MX_USAGE"),
  );
});

describe("a duration", () => {
  test.each([
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["2h", 7_200_000],
    ["7d", 604_800_000],
  ])("%s is %i ms", (text, ms) => expect(parseDuration(text, "--timeout")).toBe(ms));

  test.each([
    "",
    "30",
    "s",
    "-1s",
    "0s",
    "0.0001ms",
    "1e3s",
    "30 s",
    "30S",
    "1m30s",
    "½h",
    "99999999999999d",
  ])("%s is none, and the message names the flag", (text) => {
    expect(codeOf(() => parseDuration(text, "--timeout"))).toBe("MX_USAGE");
    expect(() => parseDuration(text, "--timeout")).toThrow(/--timeout/);
  });

  test("is a positive whole number of milliseconds, or refused, whatever is typed", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const code = codeOf(() => {
          const ms = parseDuration(text, "--timeout");
          expect(Number.isSafeInteger(ms) && ms > 0).toBe(true);
        });
        expect([undefined, "MX_USAGE"]).toContain(code);
      }),
    );
  });
});

describe("--env", () => {
  test("takes everything after the first equals sign, and the last of a name", () => {
    expect(parseEnv(["A=1", "B=x=y", "C=", "A=2"])).toEqual({ A: "2", B: "x=y", C: "" });
  });

  test("gives back every pair of names and values", () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/).filter((one) => one !== "__proto__");
    fc.assert(
      fc.property(fc.dictionary(name, fc.string()), (env) => {
        expect(parseEnv(Object.entries(env).map(([key, value]) => `${key}=${value}`))).toEqual({ ...env });
      }),
    );
  });

  test.each(["", "=", "=x", "A", "1A=x", "A-B=x", "A B=x", "Ä=x"])("%j is no pair", (pair) => {
    expect(codeOf(() => parseEnv([pair]))).toBe("MX_USAGE");
  });

  test("a name without a value is named whole", () => {
    expect(() => parseEnv(["LANG"])).toThrow("--env LANG: write NAME=VALUE");
  });

  test.each(["MY_TOKEN", "DB_PASSWORD", "AWS_REGION", "api_key", "SSH_AUTH_SOCK"])(
    "%s is not sent, and its value not shown",
    (name) => {
      expect(codeOf(() => refuseSecrets({ [name]: "hush" }))).toBe("MX_USAGE");
      expect(() => refuseSecrets({ [name]: "hush" })).not.toThrow(/hush/);
    },
  );

  test("of ordinary names is sent", () => {
    expect(codeOf(() => refuseSecrets({ CI: "1", NODE_ENV: "test" }))).toBeUndefined();
  });
});

describe("a target", () => {
  test("is what the flags say, before what is configured", () => {
    expect(targetOf({ room: "flag" }, { room: "set", agent: "set" })).toEqual({ room: "flag", agent: "set" });
  });

  test.each([
    [{ room: "r" }, "MX_HALF_TARGET"],
    [{ agent: "a" }, "MX_HALF_TARGET"],
    [{ room: "r", agent: "" }, "MX_HALF_TARGET"],
    [{}, "MX_USAGE"],
  ])("of which only %j is known is refused", (flags, code) => {
    expect(codeOf(() => targetOf(flags, {}))).toBe(code);
  });

  test("that is a room alone needs one", () => {
    expect(roomOf({}, { room: "set" })).toBe("set");
    expect(codeOf(() => roomOf({}, {}))).toBe("MX_USAGE");
  });
});

describe("arguments", () => {
  const told = (words: string[], own: (number | string)[][]) => {
    const cmdline = Buffer.concat(
      [["node"], ["mx-agent"], ...own].map((word) =>
        Buffer.concat([
          ...word.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from([part]))),
          Buffer.from([0]),
        ]),
      ),
    );
    return codeOf(() => refuseBytes(words, () => cmdline));
  };

  test("that are not UTF-8 are refused, and the character that stands for them is an argument like any other", () => {
    expect(told(["exec", "a\ufffd"], [["exec"], ["a", 0xff]])).toBe("MX_BAD_INPUT");
    expect(told(["exec", "a\ufffd", "b"], [["exec"], ["a\ufffd"], ["b"]])).toBeUndefined();
    expect(told(["exec", "", "a\ufffd"], [["exec"], [""], ["a\ufffd"]])).toBeUndefined();
    expect(told(["exec", "a\ufffd", "\ufffd"], [["exec"], ["a\ufffd"], [0x80]])).toBe("MX_BAD_INPUT");
    expect(codeOf(() => refuseBytes(["a\ufffd"], () => null))).toBeUndefined();
  });

  test("of a real process are looked at as the system has them", () => {
    const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
    const typed = `exec "${process.execPath}" "${main}" exec --room r --agent a -- cat "$(printf 'caf\\351')"`;
    const ended = spawnSync("sh", ["-c", typed], {
      env: { PATH: process.env.PATH, MX_AGENT_HOME: "/nowhere" },
      encoding: "utf8",
    });
    expect(ended.status).toBe(65);
    expect(ended.stderr).toMatch(/is not UTF-8.*MX_BAD_INPUT.*hand the bytes over on stdin/s);
  });
});

describe("the address of a homeserver that others are to be told", () => {
  test.each([
    ["https://matrix.example.org", "https://matrix.example.org"],
    ["https://example.org/matrix/", "https://example.org/matrix"],
    ["http://100.64.0.1:8008", "http://100.64.0.1:8008"],
  ])("%s is one", (text, address) => expect(parseAddress(text, "--url")).toBe(address));

  test.each([
    "",
    "matrix.example.org",
    "ftp://example.org",
    "javascript:alert(1)",
    "matrix:example.org",
    "https://example.org/?token=x",
    "https://example.org/#x",
  ])("%j is none", (text) => expect(codeOf(() => parseAddress(text, "--url"))).toBe("MX_USAGE"));

  test("that has a password in it is refused, and the password is not shown", () => {
    expect(() => parseAddress("https://me:hunter2@example.org", "--url")).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("hunter2") }),
    );
  });
});

test("a variable whose name an object cannot carry is refused, and not lost on the way", () => {
  expect(() => parseEnv(["__proto__=x"])).toThrow("--env __proto__");
});
