import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What one command in a plain room does not pass: they have crash tests of their own. */
const OFF_THE_WAY = ["backfill.", "crypto-store.", "oauth.", "runner.forget.", "write_file."];

/** Every `failpoint("…")` in the sources of what a command passes. */
export function killPoints(): string[] {
  const names = new Set<string>();
  for (const name of ["base", "daemon", "ipc", "runner"]) {
    const dir = fileURLToPath(new URL(`../../../../${name}/src`, import.meta.url));
    for (const entry of readdirSync(dir, { recursive: true, encoding: "utf8" })) {
      if (!entry.endsWith(".ts")) continue;
      const text = readFileSync(join(dir, entry), "utf8");
      for (const [, point] of text.matchAll(/failpoint\("([^"]+)"\)/g)) if (point) names.add(point);
    }
  }
  return [...names].filter((point) => !OFF_THE_WAY.some((prefix) => point.startsWith(prefix))).sort();
}

/** Points that the asking daemon passes; those of its own alone begin with `request.` and `ipc.`. */
const OF_CALLER = ["http.", "inbox.", "ipc.", "outbox.", "request.", "state.", "sync."];

export const isRunners = (point: string) => point.startsWith("runner.");
export const isCallers = (point: string) => OF_CALLER.some((prefix) => point.startsWith(prefix));
export const isExecutors = (point: string) =>
  !isRunners(point) && !point.startsWith("request.") && !point.startsWith("ipc.");

/** What every commit, request and message passes, of whatever it is a part. */
const OFTEN = ["chunk_index.", "http.", "ipc.", "outbox.", "state.", "to_runner."];
export const isPassedOften = (point: string) => OFTEN.some((prefix) => point.startsWith(prefix));
