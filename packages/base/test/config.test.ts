import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultConfig, effectiveConfig, parseConfig, settingNames, settings, version } from "@mx-agent/base";
import { describe, expect, test } from "vitest";
import { temporaryDir } from "./temporary.ts";

function configured(text: string | null, env: Record<string, string> = {}) {
  const configDir = temporaryDir();
  if (text !== null) writeFileSync(join(configDir, "config.toml"), text);
  return { configDir, env, file: join(configDir, "config.toml") };
}

describe("what is in force", () => {
  test("without a file, a variable or a flag it is the default, and says so", async () => {
    const { values, origins } = await effectiveConfig(configured(null));
    expect(values).toEqual(defaultConfig);
    for (const name of settingNames) expect(origins[name]).toEqual({ from: "default", where: null });
  });

  test("flag wins over environment, environment over file, file over default; each with its origin", async () => {
    const given = configured(
      '# mine\ndefault_room = "!file:example.org"\n\ndefault_agent = "file"\nhomeserver = "https://file"\n',
      { MX_AGENT_ROOM: "!env:example.org", MX_AGENT_AGENT: "env", MX_AGENT_LOG: "" },
    );
    const flags = { default_room: { flag: "--room", value: "!flag:example.org" } };
    const { values, origins, file } = await effectiveConfig({ ...given, flags });
    expect(values).toMatchObject({
      default_room: "!flag:example.org",
      default_agent: "env",
      homeserver: "https://file",
      log_level: "info",
    });
    expect(origins).toEqual({
      default_room: { from: "flag", where: "--room" },
      default_agent: { from: "environment", where: "MX_AGENT_AGENT" },
      homeserver: { from: "file", where: `${file}:5` },
      log_level: { from: "default", where: null },
      log_format: { from: "default", where: null },
    });
  });

  test("a wrong value is refused with the flag or variable that it came from", async () => {
    const env = configured(null, { MX_AGENT_LOG: "loud" });
    await expect(effectiveConfig(env)).rejects.toMatchObject({
      code: "MX_CONFIG",
      message: expect.stringMatching(/^MX_AGENT_LOG: must be one of trace, .* not "loud"$/),
    });
    const flags = { log_format: { flag: "--log-format", value: "xml" } };
    await expect(effectiveConfig({ ...configured(null), flags })).rejects.toMatchObject({
      message: expect.stringContaining("--log-format"),
    });
  });

  test("a file that cannot be read is not a missing one", async () => {
    const given = configured(null);
    mkdirSync(given.file);
    await expect(effectiveConfig(given)).rejects.toMatchObject({ code: "MX_CONFIG" });
  });
});

describe("a mistake in config.toml is named by file, line and key", () => {
  test.each([
    ['log_level = "info"\ndefault_rooms = "x"\n', 2, "default_rooms is not a key of config.toml"],
    ['room = "x"\n', 1, "room is not a key of config.toml; did you mean default_room?"],
    ['default-room = "x"\n', 1, "default-room is not a key of config.toml; did you mean default_room?"],
    ["\n\nlog_level = 3\n", 3, "log_level must be a string"],
    ["homeserver = 2026-01-01\n", 1, "homeserver must be a string"],
    ['log_format = "xml"\n', 1, 'log_format must be one of human, json, not "xml"'],
    ['homeserver = ""\n', 1, "homeserver must not be empty"],
    ["\n[log]\nlevel = 1\n", 2, "log is not a key"],
    ['"quoted.key" = 1\n', 1, "quoted.key is not a key"],
    ["log.level = 1\n", 1, "log is not a key"],
    ['default_room = "x\n', 1, ""],
    ['log_level = "info"\nlog_level = "warn"\n', 2, ""],
    ["__proto__ = 1\n", 1, "__proto__ is not a key"],
    ["toString = 1\n", 1, "toString is not a key"],
  ])("%j", async (text, line, detail) => {
    const error: unknown = await parseConfig(text, "/c/config.toml").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "MX_CONFIG", exitCode: 78 });
    expect(String(error)).toContain(`/c/config.toml:${line}: ${detail}`);
  });
});

describe("the settings", () => {
  test("each have a variable of their own", () => {
    expect(new Set(settingNames.map((name) => settings[name].env)).size).toBe(settingNames.length);
  });
});

test("the version is that of the package", () => {
  const manifest = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  expect(version()).toBe(manifest.version);
});
