import { mxError } from "@mx-agent/base";
import { parseDuration } from "./duration.ts";

const MOMENT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/** `10m` before now, or a time (RFC 3339, or its beginning), as milliseconds since the epoch. MX_USAGE otherwise. */
export function parseTime(text: string, flag: string, now = Date.now()): number {
  if (!MOMENT.test(text)) return now - parseDuration(text, flag);
  const time = Date.parse(text);
  if (!Number.isNaN(time) && time >= 0) return time;
  throw mxError("MX_USAGE", {
    detail: `${flag}: there is no time ${text}; write 10m, or 2026-01-31T12:00:00Z`,
    command: "",
  });
}
