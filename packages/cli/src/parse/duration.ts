import { mxError } from "@mx-agent/base";

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const pattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** `30s`, `5m`, `2h`, `1d`, `250ms` as milliseconds; of nothing (`0s`) where `zero` is. MX_USAGE for anything else. */
export function parseDuration(text: string, flag: string, zero: "zero" | "positive" = "positive"): number {
  const match = pattern.exec(text);
  const ms = match ? Math.round(Number(match[1]) * unitOf(match[2])) : Number.NaN;
  if (!Number.isSafeInteger(ms) || ms < 0 || (ms === 0 && zero !== "zero"))
    throw mxError("MX_USAGE", {
      detail: `${flag}: ${text} is no duration; write 30s, 5m or 2h`,
      command: "",
    });
  return ms;
}

function unitOf(name: string | undefined): number {
  return name !== undefined && name in units ? units[name as keyof typeof units] : Number.NaN;
}
