import { errorCatalogue, errorFromJson, isErrorCode, MxError, mxError, toMxError } from "@mx-agent/base";
import { describe, expect, test } from "vitest";

const codes = Object.keys(errorCatalogue).filter(isErrorCode);

describe("the catalogue", () => {
  test("no two errors share a JSON-RPC code", () => {
    const used = codes.map((code) => errorCatalogue[code].rpc);
    expect(new Set(used).size).toBe(used.length);
  });

  test("exit codes are those that the command line documents", () => {
    const documented = new Set([3, 64, 65, 69, 70, 74, 76, 77, 78, 124, 126, 127, 130]);
    for (const code of codes) expect(documented, code).toContain(errorCatalogue[code].exit);
  });

  test.each(codes)("%s leaves no placeholder behind and says something", (code) => {
    const { message, hint } = errorCatalogue[code];
    const names = [...`${message}${hint}`.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
    const error = mxError(code, Object.fromEntries(names.map((name) => [name, `_${name}_`])));
    expect(error.message).not.toBe("");
    expect(error.message + error.hint).not.toMatch(/\{\w+\}/);
    for (const name of names) expect(error.message + error.hint).toContain(`_${name}_`);
  });
});

describe("an error", () => {
  const error = mxError(
    "MX_REFUSED",
    { agent: "builder", reason: "policy_denied", hint: "ask" },
    { origin: "remote" },
  );

  test("has the exit and RPC codes of its entry", () => {
    expect(error).toMatchObject({ code: "MX_REFUSED", exitCode: 77, rpcCode: -32050, hint: "ask" });
    expect(error.message).toBe("builder refused: policy_denied");
  });

  test("comes through JSON as it was", () => {
    const again = errorFromJson(JSON.parse(JSON.stringify(error)));
    expect(again).toBeInstanceOf(MxError);
    expect(again?.toJSON()).toEqual(error.toJSON());
  });

  test("a parameter is text, not a template", () => {
    expect(mxError("MX_USAGE", { detail: "{command} $& $1", command: "x" }).message).toBe("{command} $& $1");
  });

  test("has a hint that can be typed as it is, whatever a room and an agent are called", () => {
    const { message, hint } = mxError("MX_NO_ANSWER", { agent: "my box", room: "!a'b:x", seconds: 5 });
    expect(message).toBe("my box did not answer within 5 s");
    expect(hint).toContain("agent ping --room '!a'\\''b:x' --agent 'my box'`");
    expect(mxError("MX_NO_ANSWER", { agent: "builder", room: "farm" }).hint).toContain(
      "--room farm --agent builder`",
    );
  });

  test.each([null, 1, "MX_USAGE", {}, { code: "MX_NONE", message: "m" }, { code: "toString", message: "m" }])(
    "%j is not one of ours",
    (value) => {
      expect(errorFromJson(value)).toBeUndefined();
    },
  );

  test("what we did not foresee is MX_INTERNAL, with its cause", () => {
    const cause = new TypeError("x is not a function");
    expect(toMxError(cause)).toMatchObject({ code: "MX_INTERNAL", cause });
    expect(toMxError("thrown text").message).toContain("thrown text");
    expect(toMxError(error)).toBe(error);
  });
});
