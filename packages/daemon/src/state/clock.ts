import type { Settings } from "./settings.ts";

const KEY = "latest_ts";
const PERSIST_EVERY_MS = 10_000;

/**
 * The daemon's clock. The latest time ever seen is stored, and an earlier system clock counts as that time, so
 * that setting the clock back revives no expired request (PROTOCOL.md, "What happens, in order").
 */
export function monotonicClock(settings: Settings, system: () => number = Date.now): () => number {
  const stored = settings.get(KEY);
  let latest = typeof stored === "number" ? stored : 0;
  let persisted = latest;
  return () => {
    latest = Math.max(latest, system());
    if (latest - persisted >= PERSIST_EVERY_MS) {
      persisted = latest;
      settings.set(KEY, latest);
    }
    return latest;
  };
}
