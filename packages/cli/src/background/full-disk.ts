import { existsSync, statfsSync } from "node:fs";
import { type MxError, mxError } from "@mx-agent/base";

/** With less than this no process of ours can start, nor say why in its log. */
const LEAST_BYTES = 1024 * 1024;

/** Why what was started on this file system ended without a word; undefined where there is room. */
export function fullDisk(path: string): MxError | undefined {
  if (!existsSync(path)) return undefined;
  const { bavail, bsize } = statfsSync(path);
  if (bavail * bsize >= LEAST_BYTES) return undefined;
  const detail = `ENOSPC: no space is left on that disk (${Math.floor((bavail * bsize) / 1024)} KiB)`;
  return mxError("MX_CANNOT_WRITE", { path, detail, hint: "make room on that disk, then type it again" });
}
