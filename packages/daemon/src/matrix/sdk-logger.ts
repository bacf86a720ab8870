import { type Logger as SdkLogger, logger as sdkGlobalLogger } from "matrix-js-sdk/lib/logger.js";
import { describe, type Logger } from "./types.ts";

/** The SDK's log lines, as debug lines of ours. What matters to us we say ourselves. */
export function sdkLogger(logger: Logger, part = "sdk"): SdkLogger {
  const line = (...words: unknown[]) => {
    const message = words.map((word) => (word instanceof Error ? describe(word) : String(word))).join(" ");
    logger.debug({ part }, message);
  };
  return {
    trace: () => undefined,
    debug: line,
    info: line,
    warn: line,
    error: line,
    getChild: (name) => sdkLogger(logger, `${part}.${name}`),
  };
}

/** The SDK has a second logger, of the whole process, that writes to the console. */
export function silenceSdkConsole(): void {
  const rebuild: unknown = Reflect.get(sdkGlobalLogger, "rebuild");
  // Loggers made from this one later take the factory over; its level they would not.
  Object.assign(sdkGlobalLogger, { methodFactory: () => () => undefined });
  if (typeof rebuild === "function") rebuild.call(sdkGlobalLogger);
}
