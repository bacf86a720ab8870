import { beyond } from "@mx-agent/policy";
import type { Reason } from "@mx-agent/protocol";
import type { Logger } from "pino";
import { admit, WHILE_RUNNING } from "../admit/admit.ts";
import type { World } from "../admit/world.ts";
import { attempt } from "../attempt.ts";
import type { Auditor } from "../audit-entries.ts";
import type { Execution, ExecutionTable } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";

/** What may no longer run is gone within 5 s: at most this until it is noticed, */
const LOOK_EVERY_MS = 1_000;
/** this from SIGTERM to SIGKILL, and the rest for a machine that is busy. */
const GRACE_MS = 2_000;

export interface RevocationsParts {
  executions: Pick<ExecutionTable, "inState">;
  /** What decides on that run now: the same trust and policy with a Matrix session and without one. */
  world(execution: Execution): World;
  /** Ends a run; `grace_ms` from SIGTERM to SIGKILL. */
  cancel(run_id: string, grace_ms: number): Promise<void>;
  /** Notices a policy that has changed, whether or not anything runs. */
  readPolicy(): void;
  audit: Pick<Auditor, "ended">;
  logger: Logger;
}

/** Why a run may not go on. */
interface Ending {
  reason: Reason;
  /** For the operator. */
  detail: string;
}

/**
 * Ends what runs already when its key is revoked or expires, or the policy denies it or would give it less than it
 * has: the same function that admitted it is asked again, and its answer compared with what it was granted then.
 */
export class Revocations {
  readonly #parts: RevocationsParts;
  readonly #timer: NodeJS.Timeout;
  readonly #ending = new Set<string>();
  /** Said once for each run, however often it takes to end it. */
  readonly #said = new Set<string>();

  constructor(parts: RevocationsParts) {
    this.#parts = parts;
    this.#timer = setInterval(
      () => attempt("runs could not be looked at", parts.logger, () => this.check()),
      LOOK_EVERY_MS,
    );
    this.#timer.unref();
  }

  check(): void {
    const { executions, cancel, logger, readPolicy } = this.#parts;
    readPolicy();
    const running = executions.inState("starting", "running");
    const ids = new Set(running.map(({ run_id }) => run_id));
    for (const run_id of this.#said) if (!ids.has(run_id)) this.#said.delete(run_id);
    const goingOn: Execution[] = [];
    for (const execution of running) {
      const { run_id } = execution;
      if (this.#ending.has(run_id)) continue;
      const ending = this.#endingOf(execution, goingOn);
      if (!ending) {
        goingOn.push(execution);
        continue;
      }
      this.#say(execution, ending);
      this.#ending.add(run_id);
      cancel(run_id, GRACE_MS)
        .catch((error: unknown) =>
          logger.error({ err: error }, "a run that is no longer allowed could not be ended"),
        )
        .finally(() => this.#ending.delete(run_id));
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #endingOf(execution: Execution, before: readonly Execution[]): Ending | null {
    const { granted, room_id, sender } = execution;
    const world = { ...this.#parts.world(execution), under: granted };
    const admission = admit(eventOf(execution), world, WHILE_RUNNING);
    if (admission.outcome === "silence") return { reason: "policy_denied", detail: admission.detail };
    if (admission.outcome === "refused") return admission;
    // It was started without one.
    if (admission.outcome === "held")
      return { reason: "policy_denied", detail: `needs an approval now, by ${admission.rule}` };
    if (!granted) return null;
    const earlier = before.filter((one) => one.room_id === room_id && one.sender === sender).length;
    const more = beyond(granted, admission.admitted.grant, earlier);
    if (more.length === 0) return null;
    const rule = `it has more than ${admission.rule ?? "the policy"} gives now: ${more.join(", ")}`;
    return { reason: "policy_denied", detail: rule };
  }

  /** A log that cannot be written keeps nothing running. */
  #say(execution: Execution, { reason, detail }: Ending): void {
    const { logger, audit } = this.#parts;
    const { run_id, invocation_id } = execution;
    if (this.#said.has(run_id)) return;
    this.#said.add(run_id);
    logger.warn({ invocation_id, reason, detail }, "no longer allowed; ending it");
    attempt("that a run is ended could not be put on record", logger, () =>
      audit.ended(execution, reason, detail),
    );
  }
}
