/**
 * config.toml and what overrides it: flag, environment, file, default, in this order. The command line
 * reads it at every start, so the checks are plain code and the TOML parser is loaded only when there
 * is a file.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkPrivateDir, type Env } from "./dirs.ts";
import { checkOwnFile } from "./files.ts";
import { MxError, mxError } from "./mx-error.ts";

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];
export const logFormats = ["human", "json"] as const;
export type LogFormat = (typeof logFormats)[number];

export interface Config {
  default_room: string | null;
  default_agent: string | null;
  homeserver: string | null;
  log_level: LogLevel;
  log_format: LogFormat;
}

export type SettingName = keyof Config;

interface Setting {
  /** The environment variable that overrides the file. */
  env: string;
  /** null: any text that is not empty. */
  oneOf: readonly string[] | null;
  /** What it is for, for the reference. */
  about: string;
}

/** Every key that config.toml may have. */
export const settings: Readonly<Record<SettingName, Setting>> = {
  default_room: { env: "MX_AGENT_ROOM", oneOf: null, about: "the room where --room is not given" },
  default_agent: { env: "MX_AGENT_AGENT", oneOf: null, about: "the agent where --agent is not given" },
  homeserver: { env: "MX_AGENT_HOMESERVER", oneOf: null, about: "the homeserver that `auth login` offers" },
  log_level: { env: "MX_AGENT_LOG", oneOf: logLevels, about: "how much the daemon writes into its log" },
  log_format: {
    env: "MX_AGENT_LOG_FORMAT",
    oneOf: logFormats,
    about: "for people, or one JSON object a line",
  },
};

export const defaultConfig: Config = {
  default_room: null,
  default_agent: null,
  homeserver: null,
  log_level: "info",
  log_format: "human",
};

export const settingNames = Object.keys(settings) as SettingName[];

/** Where a value comes from: `where` is the flag, the variable, or the file with its line. */
export interface Origin {
  from: "flag" | "environment" | "file" | "default";
  where: string | null;
}

export interface EffectiveConfig {
  values: Config;
  origins: Record<SettingName, Origin>;
  /** The file that was or would be read. */
  file: string;
}

export interface ConfigSources {
  /** The configuration directory; see `resolveDirs`. */
  configDir: string;
  env: Env;
  /** Values of flags by the setting that they override, with the flag's name. */
  flags?: Partial<Record<SettingName, { flag: string; value: string }>>;
}

/** The values in force and where each comes from. MX_CONFIG with file, line and key, or with the variable. */
export async function effectiveConfig(sources: ConfigSources): Promise<EffectiveConfig> {
  const file = join(sources.configDir, "config.toml");
  checkPrivateDir(sources.configDir);
  const inFile = await readConfig(file);
  const values: Record<string, string | null> = { ...defaultConfig };
  const origins: Record<string, Origin> = {};
  for (const name of settingNames) {
    const found = firstOf(name, sources, inFile, file);
    values[name] = found?.value ?? defaultConfig[name];
    origins[name] = found?.origin ?? { from: "default", where: null };
  }
  return {
    // Each value was checked against its setting, or is its default.
    values: values as unknown as Config,
    origins: origins as Record<SettingName, Origin>,
    file,
  };
}

function firstOf(
  name: SettingName,
  { env, flags }: ConfigSources,
  inFile: ReadonlyMap<SettingName, FileValue>,
  file: string,
): { value: string; origin: Origin } | undefined {
  const flag = flags?.[name];
  if (flag !== undefined)
    return { value: checked(name, flag.value, flag.flag), origin: { from: "flag", where: flag.flag } };
  const variable = settings[name].env;
  const set = env[variable];
  if (set !== undefined && set !== "")
    return { value: checked(name, set, variable), origin: { from: "environment", where: variable } };
  const written = inFile.get(name);
  return written === undefined
    ? undefined
    : { value: written.value, origin: { from: "file", where: `${file}:${written.line}` } };
}

interface FileValue {
  value: string;
  line: number;
}

async function readConfig(file: string): Promise<ReadonlyMap<SettingName, FileValue>> {
  let text: string;
  try {
    checkOwnFile(file);
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof MxError) throw error;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return new Map();
    const detail = error instanceof Error ? error.message : String(error);
    throw mxError("MX_CONFIG", { file, detail }, { cause: error });
  }
  return parseConfig(text, file);
}

/** Reads the text of config.toml. An unknown key or a wrong type is MX_CONFIG with file, line and key. */
export async function parseConfig(text: string, file: string): Promise<ReadonlyMap<SettingName, FileValue>> {
  const { parse, TomlError } = await import("smol-toml");
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const detail = (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    throw mxError("MX_CONFIG", { file: `${file}:${error.line}`, detail }, { cause: error });
  }
  const values = new Map<SettingName, FileValue>();
  for (const [key, value] of Object.entries(table)) {
    const line = lineOf(text, key);
    const where = `${file}:${line}`;
    if (!isSettingName(key))
      throw mxError("MX_CONFIG", {
        file: where,
        detail: `${key} is not a key of config.toml${likeness(key)}`,
      });
    if (typeof value !== "string")
      throw mxError("MX_CONFIG", { file: where, detail: `${key} must be a string in quotes` });
    values.set(key, { value: checked(key, value, where, key), line });
  }
  return values;
}

function checked(name: SettingName, value: string, where: string, key?: string): string {
  const { oneOf } = settings[name];
  const what = key === undefined ? "" : `${key} `;
  if (oneOf !== null && !oneOf.includes(value))
    throw mxError("MX_CONFIG", {
      file: where,
      detail: `${what}must be one of ${oneOf.join(", ")}, not ${JSON.stringify(value)}`,
    });
  if (value === "") throw mxError("MX_CONFIG", { file: where, detail: `${what}must not be empty` });
  return value;
}

function isSettingName(key: string): key is SettingName {
  return Object.hasOwn(settings, key);
}

/** The line of a top-level key or table, from 1: the parser does not tell. */
function lineOf(text: string, key: string): number {
  const name = key.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const start = new RegExp(`^\\s*(?:\\[+\\s*)?["']?${name}["']?\\s*[=.\\]]`);
  return text.split("\n").findIndex((line) => start.test(line)) + 1 || 1;
}

function likeness(key: string): string {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, "");
  const meant = settingNames.find(
    (name) =>
      plain(name) === plain(key) || plain(name).endsWith(plain(key)) || plain(key).endsWith(plain(name)),
  );
  return meant === undefined ? `; it has ${settingNames.join(", ")}` : `; did you mean ${meant}?`;
}
