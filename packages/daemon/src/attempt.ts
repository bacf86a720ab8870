import type { Logger } from "pino";

/**
 * Work that nobody waits for, such as a timer's. What it throws, for a full disk or an audit log that cannot be
 * written, is in the log, and does not end the daemon; whoever calls it again tries again.
 */
export function attempt(failed: string, logger: Pick<Logger, "error">, work: () => void): void {
  try {
    work();
  } catch (error) {
    logger.error({ err: error }, failed);
  }
}
