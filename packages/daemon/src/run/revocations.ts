import type { Logger } from "pino";
import { admit, WHILE_RUNNING } from "../admit/admit.ts";
import type { World } from "../admit/world.ts";
import type { Execution, ExecutionTable } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";

/** What may no longer run is gone within 5 s: this, and at most two until it is noticed. */
const GRACE_MS = 2_000;

export interface RevocationsParts {
  executions: ExecutionTable;
  /** What decides on that run now: the same trust and policy with a Matrix session and without one. */
  world(execution: Execution): World;
  /** Ends a run; `grace_ms` from SIGTERM to SIGKILL. */
  cancel(run_id: string, grace_ms: number): Promise<void>;
  logger: Logger;
}

/**
 * Ends what runs already when its key is revoked or expires, or the policy denies it: the same function that
 * admitted it is asked again.
 */
export class Revocations {
  readonly #parts: RevocationsParts;
  readonly #ending = new Set<string>();
  /** Said once for each run, however often it takes to end it. */
  readonly #said = new Set<string>();

  constructor(parts: RevocationsParts) {
    this.#parts = parts;
  }

  check(): void {
    const { executions, cancel, logger } = this.#parts;
    const running = executions.inState("starting", "running");
    const ids = new Set(running.map(({ run_id }) => run_id));
    for (const run_id of this.#said) if (!ids.has(run_id)) this.#said.delete(run_id);
    for (const execution of running) {
      if (this.#ending.has(execution.run_id) || this.#stillAdmitted(execution)) continue;
      this.#ending.add(execution.run_id);
      cancel(execution.run_id, GRACE_MS)
        .catch((error: unknown) =>
          logger.error({ err: error }, "a run that is no longer allowed could not be ended"),
        )
        .finally(() => this.#ending.delete(execution.run_id));
    }
  }

  /** A hold ends nothing that was rightly started; whatever else does not admit it does. */
  #stillAdmitted(execution: Execution): boolean {
    const { world, logger } = this.#parts;
    const admission = admit(eventOf(execution), world(execution), WHILE_RUNNING);
    if (admission.outcome === "admitted" || admission.outcome === "held") return true;
    const { run_id, invocation_id } = execution;
    const { outcome, detail } = admission;
    if (!this.#said.has(run_id))
      logger.warn({ invocation_id, outcome, detail }, "no longer allowed; ending it");
    this.#said.add(run_id);
    return false;
  }
}
