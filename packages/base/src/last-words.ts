/** What a process in the background said before it ended, for whoever started it. */
import { errorFromJson, type MxError } from "./mx-error.ts";

/** The last error that was written as with --json, a line of its own; undefined when there is none. */
export function lastWords(log: string): MxError | undefined {
  for (const line of log.split("\n").toReversed()) {
    const error = line.startsWith('{"error":') ? read(line) : undefined;
    if (error) return error;
  }
  return undefined;
}

function read(line: string): MxError | undefined {
  try {
    const value: { error?: unknown } = JSON.parse(line);
    return errorFromJson(value.error);
  } catch {
    return undefined;
  }
}
