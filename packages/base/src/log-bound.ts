import { copyFileSync, statSync, truncateSync } from "node:fs";

/** How large the log of a process in the background gets before it starts anew; one file before it is kept. */
const MAX_LOG_BYTES = 32 * 1024 * 1024;

/**
 * Puts what a log has aside (`FILE.1`, in place of what was there) and empties it, once it is too large. Whoever writes
 * it has it open for appending, and goes on at its new end.
 */
export function boundLog(file: string, most = MAX_LOG_BYTES): void {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || stat.size <= most) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file, 0);
}
