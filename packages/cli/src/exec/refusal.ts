/** What a refusal means for the person who asked: where it was made, why, and what to type where. */
import { MxError } from "@mx-agent/base";
import type { Target } from "@mx-agent/ipc";
import { shellWords } from "../render/command.ts";

export interface Refusal {
  invocation_id: string;
  request_id: string;
  /** Of the catalogue in the protocol ("Reasons"). */
  reason: string;
  detail: string | null;
  origin: "local" | "remote";
}

/** `what`: the command or tool as it was typed. */
export function refusalError(refusal: Refusal, target: Target, what: string): MxError {
  const { reason, detail, origin, request_id, invocation_id } = refusal;
  const where = `${target.agent} in ${target.room}`;
  return new MxError({
    code: codeOf(reason, detail),
    message: origin === "remote" ? `${where} refused: ${what}` : `refused here, for ${where}: ${what}`,
    hint: next(refusal, target),
    origin,
    details: { reason, detail, request_id, invocation_id, agent: target.agent, room: target.room },
  });
}

/** Exit statuses as a shell has them where the command could not be started, else "refused". */
function codeOf(
  reason: string,
  detail: string | null,
): "MX_REFUSED" | "MX_SPAWN_FAILED" | "MX_COMMAND_NOT_FOUND" | "MX_BAD_INPUT" {
  if (reason === "tool_not_found") return "MX_COMMAND_NOT_FOUND";
  if (reason === "tool_input_invalid") return "MX_BAD_INPUT";
  if (reason !== "spawn_failed") return "MX_REFUSED";
  return /^ENOENT\b/.test(detail ?? "") ? "MX_COMMAND_NOT_FOUND" : "MX_SPAWN_FAILED";
}

function next({ reason, detail, origin, request_id }: Refusal, { room, agent }: Target): string {
  const words = (...parts: string[]) => `\`mx-agent ${shellWords(parts)}\``;
  const theirs = `on ${agent}'s machine`;
  if (origin === "local")
    return reason === "untrusted_key" || reason === "revoked_key"
      ? `on this machine: ${words("trust", "approve", "--room", room, agent)}`
      : `on this machine: ${words("agent", "show", "--room", room, "--agent", agent)}`;
  switch (reason) {
    case "untrusted_key":
    case "revoked_key":
      return `${theirs}: ${words("trust", "approve", "--room", room)} with the name of this machine's agent; compare ${words("trust", "fingerprint")} of this machine`;
    case "expired":
    case "from_the_future":
      return `on both machines: \`date -u\`; their clocks differ too much`;
    case "over_capacity":
    case "rate_limited":
      return `try again in a minute; ${theirs}: ${words("invocation", "list", "--running")}`;
    case "tool_not_found":
      return `on this machine: ${words("tools", "list", "--room", room, "--agent", agent)}`;
    case "tool_input_invalid":
      return `on this machine: ${words("tools", "show", "--room", room, "--agent", agent)} with the tool's name`;
    case "spawn_failed":
      if (codeOf(reason, detail) === "MX_COMMAND_NOT_FOUND")
        return `${theirs}: look for it, and for the interpreter that a script names in its first line`;
      return `${theirs}: ${words("doctor")}${detail === null ? "" : ` (${detail})`}`;
    default:
      return `${theirs}: ${words("policy", "explain", request_id)}`;
  }
}
