import { writeSync } from "node:fs";
import type { MxError } from "@mx-agent/base";

/**
 * Ends the process at once, with the error on stderr: crypto state that is in memory and not on disk must not
 * be used for anything, since a restart would forget it. Nothing asynchronous runs any more.
 */
export function endProcess(error: MxError): never {
  try {
    writeSync(2, `mx-agent: ${error.code}: ${error.message}\nmx-agent: ${error.hint}\n`);
  } finally {
    process.exit(error.exitCode);
  }
}
