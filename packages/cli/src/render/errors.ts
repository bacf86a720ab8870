/** How a failure is shown: three lines for a person, one object for a program. */
import { type MxError, toMxError } from "@mx-agent/base";
import { visible } from "./style.ts";

/** What happened and where; its code; what to do. */
export function errorLines(error: MxError): string {
  const { reason, detail } = error.details;
  const why = typeof reason === "string" ? [reason, ...told(reason, detail)].join(": ") : "";
  const code = why === "" ? error.code : `${why} (${error.code})`;
  const lines = [`mx-agent: ${visible(error.message)}`, `  reason: ${visible(code)}`];
  if (error.hint !== "") lines.push(`  next: ${visible(error.hint)}`);
  return `${lines.join("\n")}\n`;
}

/** What the other side said of it, where the next line does not say it better; it is a peer's text, and kept short. */
function told(reason: string, detail: unknown): string[] {
  if (typeof detail !== "string" || detail === "" || NEXT_SAYS_IT.has(reason)) return [];
  return [detail.length > MOST ? `${detail.slice(0, MOST)}…` : detail];
}

const MOST = 300;
const NEXT_SAYS_IT = new Set(["untrusted_key", "binding_missing"]);

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
