/**
 * The executing side: an event becomes a decision, a decision a run, a run its outcome. Each step is durable
 * before the next begins, and a restart goes on where the last one stood (DESIGN.md, "At most once").
 */

import type { Explanation } from "@mx-agent/ipc";
import { EventTypes, parseContent } from "@mx-agent/protocol";
import type { Logger } from "pino";
import { AGAIN, admit, IMAGINED } from "../admit/admit.ts";
import type { Admitted } from "../admit/admitted.ts";
import { shape } from "../admit/checks/shape.ts";
import type { IncomingEvent } from "../matrix/api.ts";
import { answerRefused } from "../publish/answers.ts";
import type { Execution, ExecutionState } from "../state/executions.ts";
import { Decisions } from "./decisions.ts";
import { eventOf } from "./event-of.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import { explanationOf } from "./explanation.ts";
import { type ImaginedRequest, imaginedEvent } from "./imagined.ts";
import type { Runs } from "./runs.ts";

/** What could not be made `starting`, for a full disk, is decided on again when there is room. */
const START_AGAIN_MS = 2_000;

const CANCELLABLE = new Set<ExecutionState>(["admitted", "starting", "running"]);

export class Executor {
  readonly #world: ExecutorWorld;
  readonly #runs: Runs;
  readonly #decisions: Decisions;
  readonly #logger: Logger;
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(world: ExecutorWorld, runs: Runs, logger: Logger) {
    this.#world = world;
    this.#runs = runs;
    this.#decisions = new Decisions(world, logger);
    this.#logger = logger;
  }

  /** A request from the inbox. Redelivery after a crash finds its record and does nothing. */
  async onRequest(event: IncomingEvent): Promise<void> {
    this.#start(this.#decisions.decideAlone(event));
  }

  /** Requests that followed one another in the inbox: one sync puts them on record. Fails for all of them, or for none. */
  async onRequests(events: readonly IncomingEvent[]): Promise<void> {
    this.#start(this.#decisions.decide(events));
  }

  /**
   * Requests that were admitted and not started, when the last daemon ended or because that could not be recorded, are
   * decided on again; what was cancelled while there was no session is ended.
   */
  async resumeAdmitted(): Promise<void> {
    for (const execution of this.#world.executions.inState("received", "held", "admitted")) {
      if (execution.cancelled_ts !== null) await this.#endCancelled(execution);
      else if (execution.state !== "held") this.#start(this.#decisions.decideAgain(execution));
    }
  }

  async #endCancelled(execution: Execution): Promise<void> {
    if (execution.state === "held") this.refuseHeld(execution);
    else await this.#runs.cancel(execution.run_id);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
  }

  /** A start takes its time; what else arrives does not wait for it. The admission is durable already. */
  #start(admitted: readonly Admitted[]): void {
    if (admitted.length === 0) return;
    this.#runs.start(admitted).catch((error: unknown) => {
      this.#logger.error({ err: error }, "what was admitted could not be started; trying again");
      this.#startAgain();
    });
  }

  /** Until it can be started, or has expired. */
  #startAgain(): void {
    if (this.#closed) return;
    clearTimeout(this.#again);
    this.#again = setTimeout(() => {
      this.resumeAdmitted().catch((error: unknown) => {
        this.#logger.error({ err: error }, "what was admitted could not be decided on again; trying again");
        this.#startAgain();
      });
    }, START_AGAIN_MS);
    this.#again.unref();
  }

  /** The requester withdraws what is held, or ends a tool's run. The message was verified as his. */
  async cancel(execution: Execution, event: IncomingEvent): Promise<void> {
    const { db, nonces, now } = this.#world;
    const parsed = parseContent(EventTypes.execCancel, event.content);
    if (!parsed.ok) return;
    const fresh = db.transaction(() => {
      if (nonces.admitControl(execution.key_id, parsed.value.nonce, now()) === "replayed") return false;
      if (execution.state === "held")
        this.#endHold(execution, "approval_denied", "withdrawn by its requester");
      return true;
    });
    if (fresh && CANCELLABLE.has(execution.state)) await this.#runs.cancel(execution.run_id);
  }

  /** The operator here does not wait for an approval of what is held. */
  refuseHeld(held: Execution): void {
    const detail = "the operator of the executing machine cancelled it";
    this.#world.db.transaction(() => this.#endHold(held, "approval_denied", detail, detail));
  }

  /** Held requests whose time is over are answered so. */
  expireHeld(): void {
    const { db, executions, now } = this.#world;
    for (const held of executions.inState("held")) {
      if ((held.hold_expires_ts ?? 0) > now()) continue;
      db.transaction(() => this.#endHold(held, "approval_expired", "nobody decided in time"));
    }
  }

  /** `detail` is for the record here, `hint` for the requester. */
  #endHold(
    held: Execution,
    reason: "approval_denied" | "approval_expired",
    detail: string,
    hint: string | null = null,
  ): void {
    const { audit, executions } = this.#world;
    const event = eventOf(held);
    const request = shape(event);
    const refused = { outcome: "refused", reason, detail, hint, request, key: null } as const;
    audit.decision(event, { ...refused, rule: null, steps: [] });
    executions.setDecision(held.run_id, "rejected", reason, held.explanation ?? "null");
    answerRefused(event, refused, this.#world);
  }

  /** The trace of the same function for a recorded request, decided on as of now. */
  explain(execution: Execution): Explanation {
    const admission = admit(
      eventOf(execution),
      this.#world.forAdmission(() => "fresh"),
      AGAIN,
    );
    return explanationOf(admission, execution.request_id);
  }

  /** What would be decided on a request that nobody sent. */
  explainImagined(imagined: ImaginedRequest): Explanation {
    const event = imaginedEvent(imagined, this.#world);
    return explanationOf(
      admit(
        event,
        this.#world.forAdmission(() => "fresh"),
        IMAGINED,
      ),
      null,
    );
  }
}
