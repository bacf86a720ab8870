/** The end of a run as an exit status, and what is ours to say about it. */
import { constants } from "node:os";
import { type MxError, mxError } from "@mx-agent/base";
import type { InvocationResult, Outcome, Target } from "@mx-agent/ipc";
import type { ExitCode } from "../cli.ts";

export interface Ending {
  exit: ExitCode;
  /** Where the status is ours and not the command's. */
  error: MxError | null;
}

/** What of a result decides. */
export type InvocationEnd = Pick<
  InvocationResult,
  "outcome" | "exit_code" | "signal" | "duration_ms" | "truncated" | "complete"
>;

const outcomes: Record<Outcome, true> = {
  exited: true,
  signaled: true,
  timed_out: true,
  cancelled: true,
  output_limit: true,
  spawn_failed: true,
  interrupted: true,
};

export function isOutcome(value: unknown): value is Outcome {
  return typeof value === "string" && Object.hasOwn(outcomes, value);
}

/** `command` names what was run. See DESIGN.md, "The command line", for the numbers. */
export function endingOf(
  result: InvocationEnd,
  invocation_id: string,
  command: string,
  { agent }: Target,
): Ending {
  const ours = (error: MxError): Ending => ({ exit: error.exitCode, error });
  const incomplete = (detail: string, hint: string) => ours(incompleteError(invocation_id, detail, hint));
  switch (result.outcome) {
    case "exited":
    case "signaled":
      if (result.complete === false) return ours(missingOutput(invocation_id));
      if (result.truncated)
        return incomplete(`its end was cut off on the machine of ${agent}`, notKept(agent));
      // Who does not say which signal it was says that there was one.
      if (result.outcome === "signaled") return { exit: signalExit(result.signal ?? ""), error: null };
      if (result.exit_code !== null) return { exit: result.exit_code, error: null };
      return ours(
        mxError(
          "MX_PROTOCOL",
          { detail: `${agent} does not say how ${command} ended`, hint: upgrade },
          remote,
        ),
      );
    case "timed_out":
      return ours(
        mxError("MX_TIMED_OUT", { what: command, seconds: Math.round(result.duration_ms / 1000) }, remote),
      );
    case "cancelled":
      return ours(mxError("MX_CANCELLED"));
    case "output_limit":
      return incomplete(
        "the run was ended because it wrote more than the policy there allows",
        `have it write less, or into a file; on the machine of ${agent}: \`max_output_bytes\` in policy.toml, and room on the disk`,
      );
    case "interrupted":
      return incomplete(
        `the run was interrupted: its runner or the machine of ${agent} went down`,
        `\`mx-agent invocation logs ${invocation_id}\` shows what it had written; start it again if it can be started twice`,
      );
    case "spawn_failed":
      return ours(
        result.exit_code === 127
          ? mxError("MX_COMMAND_NOT_FOUND", { command, agent }, remote)
          : mxError("MX_SPAWN_FAILED", { command, agent, detail: "see its policy and log" }, remote),
      );
  }
}

/** Output that did not all come, or not as it was sent. */
export function missingOutput(invocation_id: string): MxError {
  return incompleteError(
    invocation_id,
    "part of it did not come, or not as it was sent",
    `\`mx-agent invocation logs ${invocation_id}\` asks for it again, as long as the other machine keeps it`,
  );
}

const notKept = (agent: string) =>
  `what is missing was not kept; on the machine of ${agent}: \`mx-agent daemon logs\`, and \`mx-agent doctor\` for its disk`;

function incompleteError(invocation_id: string, detail: string, hint: string): MxError {
  return mxError("MX_STREAM_INCOMPLETE", { invocation_id, detail }, { ...remote, hint });
}

const remote = { origin: "remote" } as const;
const upgrade =
  "a daemon of the first protocol says neither status nor signal of what it ended by itself; upgrade it";

/** 128 + n, as a shell says it; a name that this system does not know counts as 0. */
export function signalExit(name: string): ExitCode {
  const known: Record<string, number> = constants.signals;
  return 128 + (known[name] ?? 0);
}
