/** How a failure is shown: three lines for a person, one object for a program. */
import { type MxError, toMxError } from "@mx-agent/base";
import { visible } from "./style.ts";

/** What happened and where; its code; what to do. */
export function errorLines(error: MxError): string {
  const reason = error.details.reason;
  const code = typeof reason === "string" ? `${reason} (${error.code})` : error.code;
  const lines = [`mx-agent: ${visible(error.message)}`, `  reason: ${visible(code)}`];
  if (error.hint !== "") lines.push(`  next: ${visible(error.hint)}`);
  return `${lines.join("\n")}\n`;
}

/** The shape of every failure with --json. */
export function errorJson(thrown: unknown): string {
  const { code, message, hint, origin, details } = toMxError(thrown).toJSON();
  return `${JSON.stringify({ error: { code, message, hint, origin, details } })}\n`;
}

/**
 * The last line of stderr where the exit status could be the remote command's own or ours: ours
 * says so.
 */
export function ownLine(error: MxError): string {
  return `mx-agent: ${error.code}\n`;
}
