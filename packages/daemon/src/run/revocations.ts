import type { Logger } from "pino";
import type { Execution } from "../state/executions.ts";
import type { Executor } from "./executor.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import type { Runs } from "./runs.ts";

/** What may no longer run is gone within 5 s: this, and at most two until it is noticed. */
const GRACE_MS = 2_000;

/** The steps that time alone may fail for a run that was rightly started. */
const STILL_ADMITTED = new Set(["allow", "hold"]);

/**
 * Ends what runs already when its key is revoked or expires, or the policy is tightened: the same function that
 * admitted it is asked again.
 */
export class Revocations {
  readonly #world: ExecutorWorld;
  readonly #runs: Runs;
  readonly #executor: Executor;
  readonly #logger: Logger;
  readonly #ending = new Set<string>();

  constructor(world: ExecutorWorld, runs: Runs, executor: Executor, logger: Logger) {
    this.#world = world;
    this.#runs = runs;
    this.#executor = executor;
    this.#logger = logger;
  }

  check(): void {
    for (const execution of this.#world.executions.inState("starting", "running")) {
      if (this.#ending.has(execution.run_id) || this.#stillAdmitted(execution)) continue;
      this.#ending.add(execution.run_id);
      this.#runs
        .cancel(execution.run_id, GRACE_MS)
        .catch((error: unknown) =>
          this.#logger.error({ err: error }, "a run that is no longer allowed could not be ended"),
        )
        .finally(() => this.#ending.delete(execution.run_id));
    }
  }

  #stillAdmitted(execution: Execution): boolean {
    const { decision, reason } = this.#executor.explain(execution);
    // Without a reason nobody refused it: its agent is no longer this daemon's, which ends no run that was rightly started.
    if (STILL_ADMITTED.has(decision) || reason === null) return true;
    this.#logger.warn({ invocation_id: execution.invocation_id, reason }, "no longer allowed; ending it");
    return false;
  }
}
