import { mxError } from "@mx-agent/base";
import { type LimitClass, limitClasses, type RateLimit, type RateLimits } from "./http/limits.ts";

/**
 * Rate limits as they are typed: `off` for none, or `message=500/50` for a burst of 500 and 50 more each
 * second; the last of a class counts. MX_USAGE for anything else.
 */
export function parseRateLimits(texts: readonly string[]): Partial<RateLimits> | null {
  let off = false;
  const limits = new Map<LimitClass, RateLimit>();
  for (const text of texts) {
    if (text === "off") {
      off = true;
      continue;
    }
    const [, name, burst, perSecond] = /^([a-z_]+)=(\d{1,9})\/(\d{1,9}(?:\.\d{1,6})?)$/.exec(text) ?? [];
    const known = limitClasses.find((one) => one === name);
    if (known === undefined || Number(burst) < 1 || !(Number(perSecond) > 0)) {
      throw mxError("MX_USAGE", {
        detail: `--limit ${text}: write off, or CLASS=BURST/PER-SECOND; the classes are ${limitClasses.join(", ")}`,
        command: "homeserver start",
      });
    }
    limits.set(known, { burst: Number(burst), perSecond: Number(perSecond) });
  }
  return off ? null : Object.fromEntries(limits);
}
