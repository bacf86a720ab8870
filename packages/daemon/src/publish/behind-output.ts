/**
 * Who reads a run's output in the timeline takes `finished` for the end of it, whatever is still to come (PROTOCOL.md, "A
 * daemon of the first protocol"): there it is sent behind the output. That it is to be sent is on record with the outcome.
 */
import type { RunEnd } from "@mx-agent/runner";
import type { ExecutorWorld } from "../run/executor-world.ts";
import type { Execution } from "../state/executions.ts";
import { Settings } from "../state/settings.ts";
import { publishOutcome } from "./outcome.ts";

/** Names of runs, JSON. */
const KEY = "finished_behind_output";

export class BehindOutput {
  readonly #world: ExecutorWorld;
  readonly #settings: Settings;

  constructor(world: ExecutorWorld) {
    this.#world = world;
    this.#settings = new Settings(world.db);
  }

  /** Runs whose `finished` was not sent yet. */
  get waiting(): string[] {
    const kept = this.#settings.get(KEY);
    return Array.isArray(kept) ? kept.filter((run_id) => typeof run_id === "string") : [];
  }

  /** Joins the transaction that records the end. */
  hold(run_id: string): void {
    this.#settings.set(KEY, [...this.waiting, run_id]);
  }

  /** Of a run that there is no record of any more nothing is sent. */
  drop(run_id: string): void {
    this.#settings.set(
      KEY,
      this.waiting.filter((other) => other !== run_id),
    );
  }

  /** Sends it, once. Where not all of the output went before it, it says so: nobody waits for the rest. */
  send(
    execution: Execution,
    end: RunEnd,
    chunks: { stdout_chunks: number; stderr_chunks: number } | null,
    whole: boolean,
  ): void {
    this.#world.db.transaction(() => {
      if (!this.waiting.includes(execution.run_id)) return;
      this.drop(execution.run_id);
      publishOutcome(execution, { ...end, truncated: end.truncated || !whole }, chunks, null, this.#world);
    });
  }
}
