import type { TraceStep } from "@mx-agent/ipc";
import { Refusal, Silence } from "./refusal.ts";

/** Steps that a replay of a recorded or imagined request takes as settled. */
export type Assumed = ReadonlySet<string>;

/** Runs the checks one after another and writes down what each said. */
export class Trace {
  readonly steps: TraceStep[] = [];
  readonly #assumed: Assumed;

  constructor(assumed: Assumed) {
    this.#assumed = assumed;
  }

  /** One check. What it throws is recorded and goes on; it ends the admission. */
  check<T>(name: string, run: () => T): T {
    try {
      const result = run();
      this.steps.push({ check: name, outcome: "pass", reason: null, detail: null });
      return result;
    } catch (thrown) {
      if (thrown instanceof Refusal)
        this.steps.push({ check: name, outcome: "refuse", reason: thrown.reason, detail: thrown.detail });
      else if (thrown instanceof Silence)
        this.steps.push({ check: name, outcome: "refuse", reason: null, detail: thrown.message });
      throw thrown;
    }
  }

  /** A check that can be taken as settled; `otherwise` is then its result. */
  checkUnlessAssumed<T>(name: string, run: () => T, otherwise: T): T {
    if (!this.#assumed.has(name)) return this.check(name, run);
    this.steps.push({ check: name, outcome: "skip", reason: null, detail: "settled on arrival" });
    return otherwise;
  }

  hold(name: string, rule: string): void {
    this.steps.push({ check: name, outcome: "hold", reason: null, detail: rule });
  }
}
