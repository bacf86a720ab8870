/** Arguments that are no text: Node has replaced their bytes before anybody sees them. */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { mxError } from "@mx-agent/base";

const REPLACEMENT = "\ufffd";

/**
 * MX_BAD_INPUT where an argument is not UTF-8: another one would reach the other machine than was typed. `cmdline` is
 * asked only where an argument has the character that replaces; where it cannot be read, that character is believed.
 */
export function refuseBytes(words: readonly string[], cmdline: () => Buffer | null = ownCmdline): void {
  if (!words.some((word) => word.includes(REPLACEMENT))) return;
  const bytes = cmdline();
  if (bytes === null) return;
  const own = bytes.toString("latin1").split("\0").slice(0, -1).slice(-words.length);
  const at = own.findIndex((word) => !isUtf8(Buffer.from(word, "latin1")));
  if (at === -1) return;
  throw mxError("MX_BAD_INPUT", {
    detail: `the argument ${JSON.stringify(words[at])} is not UTF-8; a request carries text alone, and nothing was sent`,
    hint: "hand the bytes over on stdin, or rename the file",
  });
}

/** proc_pid_cmdline(5). */
function ownCmdline(): Buffer | null {
  try {
    return readFileSync("/proc/self/cmdline");
  } catch {
    return null;
  }
}
