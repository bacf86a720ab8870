/** Logs, by pino. An entry of its own (`@mx-agent/base/log`): what does not log need not load it. */
import { type Logger, pino } from "pino";
import { type LogFormat, type LogLevel, logFormats, logLevels } from "./config.ts";
import type { Env } from "./dirs.ts";
import { humanLine } from "./log-human.ts";
import { mxError } from "./mx-error.ts";
import { redact } from "./redact.ts";

export type { Logger } from "pino";

export interface LogOptions {
  /** The part of mx-agent that writes: `daemon`, `runner`, `homeserver`. */
  name: string;
  /** MX_AGENT_LOG (a level) and MX_AGENT_LOG_FORMAT (human or json). */
  env: Env;
  /** How often -v was given: one is debug, more is trace. Wins over the environment. */
  verbose?: number;
  /** From config.toml, where the environment says nothing. */
  config?: { log_level: LogLevel; log_format: LogFormat };
  /** Where lines go; standard error when it is not given. */
  destination?: { write(line: string): unknown };
}

/** A logger that redacts all that it is given. MX_CONFIG for a level or format that does not exist. */
export function createLogger(options: LogOptions): Logger {
  const { env, config, verbose = 0 } = options;
  const level =
    verbose > 0
      ? verbose > 1
        ? "trace"
        : "debug"
      : choice(env, "MX_AGENT_LOG", logLevels, config?.log_level ?? "info");
  const format = choice(env, "MX_AGENT_LOG_FORMAT", logFormats, config?.log_format ?? "human");
  const sink = options.destination ?? process.stderr;
  return pino(
    {
      name: options.name,
      level,
      base: { name: options.name, pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label }),
        // Errors, bytes and circles, before they become JSON.
        log: (fields) => plainFields(fields),
      },
      serializers: { err: (err: unknown) => err },
    },
    {
      write(line: string) {
        // Everything passes here, whatever way it came: message, fields, a child's bindings.
        const clean = `${JSON.stringify(redact(JSON.parse(line)))}\n`;
        sink.write(format === "json" ? clean : humanLine(clean));
      },
    },
  );
}

function plainFields(fields: object): Record<string, unknown> {
  return redact({ ...fields }) as Record<string, unknown>;
}

function choice<T extends string>(env: Env, variable: string, allowed: readonly T[], otherwise: T): T {
  const value = env[variable];
  if (value === undefined || value === "") return otherwise;
  const found = allowed.find((name) => name === value);
  if (found === undefined)
    throw mxError("MX_CONFIG", {
      file: variable,
      detail: `must be one of ${allowed.join(", ")}, not ${value}`,
    });
  return found;
}
