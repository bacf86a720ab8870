/**
 * The executing side: an event becomes a decision, a decision a run, a run its outcome. Each step is durable
 * before the next begins, and a restart goes on where the last one stood (DESIGN.md, "At most once").
 */

import { failpoint, MxError } from "@mx-agent/base";
import type { Explanation } from "@mx-agent/ipc";
import { EventTypes, parseContent } from "@mx-agent/protocol";
import type { Logger } from "pino";
import { type Admission, AFTER_RESTART, AGAIN, admit, IMAGINED, ON_ARRIVAL } from "../admit/admit.ts";
import type { Admitted, RunRequest } from "../admit/admitted.ts";
import { shape } from "../admit/checks/shape.ts";
import type { Assumed } from "../admit/trace.ts";
import type { IncomingEvent } from "../matrix/api.ts";
import { answerHeld, answerRefused, type RefusedRequest } from "../publish/answers.ts";
import type { Execution, ExecutionState } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import { explanationOf } from "./explanation.ts";
import { type ImaginedRequest, imaginedEvent } from "./imagined.ts";
import { recordOf } from "./record.ts";
import type { Runs } from "./runs.ts";

const CANCELLABLE = new Set<ExecutionState>(["admitted", "starting", "running"]);

export class Executor {
  readonly #world: ExecutorWorld;
  readonly #runs: Runs;
  readonly #logger: Logger;

  constructor(world: ExecutorWorld, runs: Runs, logger: Logger) {
    this.#world = world;
    this.#runs = runs;
    this.#logger = logger;
  }

  /** A request from the inbox. Redelivery after a crash finds its record and does nothing. */
  async onRequest(event: IncomingEvent): Promise<void> {
    const admission = this.#decideOnRecord(event);
    if (admission?.outcome === "admitted") this.#start(admission.admitted);
  }

  /** A start takes its time; what else arrives does not wait for it. The admission is durable already. */
  #start(admitted: Admitted): void {
    this.#runs
      .start(admitted)
      .catch((error: unknown) =>
        this.#logger.error({ err: error }, "a run could not be handed to the runner"),
      );
  }

  /** Requests that were admitted and not started when the last daemon ended are decided on again. */
  async resumeAdmitted(): Promise<void> {
    for (const execution of this.#world.executions.inState("received", "admitted")) {
      const admission = this.#decide(eventOf(execution), AFTER_RESTART, execution);
      if (admission?.outcome === "admitted") this.#start(admission.admitted);
    }
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

  /** What cannot be put on record is not run; the requester is told, as far as that is possible. */
  #decideOnRecord(event: IncomingEvent): Admission | undefined {
    try {
      return this.#decide(event, ON_ARRIVAL);
    } catch (error) {
      if (!(error instanceof MxError) || error.code !== "MX_CANNOT_WRITE") throw error;
      this.#logger.error(
        { err: error, event_id: event.event_id },
        "a decision could not be written; nothing was run",
      );
      const hint = "the executing machine cannot write its audit log; its operator finds more in its log";
      const request = this.#verifiedRequest(event);
      if (request) answerRefused(event, { request, reason: "over_capacity", hint }, this.#world);
      return undefined;
    }
  }

  /** The request, where it is for an agent of ours and its signature counts; nothing is claimed by the look. */
  #verifiedRequest(event: IncomingEvent): RunRequest | null {
    const look = admit(
      event,
      this.#world.forAdmission(() => "fresh"),
    );
    if (look.outcome === "admitted") return look.admitted.request;
    return look.outcome !== "silence" && look.key !== null ? look.request : null;
  }

  #decide(event: IncomingEvent, assumed: Assumed, known?: Execution): Admission | undefined {
    const { db } = this.#world;
    // The audit line is synced in it; the rest the event in the inbox leads to again, and a run has `starting`.
    return db.passingTransaction(() => {
      let run_id = known?.run_id;
      let redelivered = false;
      const world = this.#world.forAdmission((claim) => {
        const earlier = this.#world.executions.byInvocation(claim.invocation_id);
        if (earlier) {
          redelivered = earlier.event_id === event.event_id && earlier.key_id === claim.key_id;
          return "replayed";
        }
        if (this.#world.executions.isAnothersRequest(claim.request_id, claim.key_id)) return "replayed";
        const nonce = this.#world.nonces.admit(
          claim.key_id,
          claim.nonce,
          claim.expires_ts,
          this.#world.now(),
        );
        if (nonce !== "fresh") return nonce;
        const record = recordOf(event, claim, this.#world);
        run_id = record.run_id;
        this.#world.executions.insert(record);
        return "fresh";
      });
      const admission = admit(event, world, assumed);
      if (redelivered) return undefined;
      this.#settle(event, admission, run_id);
      return admission;
    });
  }

  /** Records the decision, in the audit log first: what cannot be written there does not run. */
  #settle(event: IncomingEvent, admission: Admission, run_id: string | undefined): void {
    const { audit, executions } = this.#world;
    if (admission.outcome === "silence") {
      // Recorded, and its agent is no longer ours: nobody else will ever end it.
      if (run_id !== undefined) executions.setDecision(run_id, "rejected", "policy_denied", "null");
      return;
    }
    if (admission.outcome === "refused" && admission.key === null && run_id === undefined) {
      this.#refuseEarly(event, admission);
      return;
    }
    failpoint("admit.before_audit");
    audit.decision(event, admission);
    failpoint("admit.after_audit");
    if (run_id === undefined) return;
    const explanation = JSON.stringify(explanationOf(admission, null));
    if (admission.outcome === "admitted") executions.setDecision(run_id, "admitted", null, explanation);
    else if (admission.outcome === "held") {
      executions.setDecision(run_id, "held", null, explanation);
      executions.setHeld(run_id, answerHeld(event, admission, this.#world));
    } else {
      executions.setDecision(run_id, "rejected", admission.reason, explanation);
      if (admission.request) answerRefused(event, { ...admission, request: admission.request }, this.#world);
    }
  }

  /** Failed before its signature and nonce were settled: counted, and answered at most once in a while. */
  #refuseEarly(event: IncomingEvent, refused: Extract<Admission, { outcome: "refused" }>): void {
    const { early } = this.#world;
    const { request, reason } = refused;
    early.count(reason, event.sender);
    // For whom it was is known only once it was parsed; what cannot be parsed is answered to nobody.
    if (!request || !this.#isAnswerable(event, { reason, request })) return;
    if (early.mayAnswer(event.sender, event.room_id ?? ""))
      answerRefused(event, { ...refused, request }, this.#world);
  }

  /**
   * A refusal names the invocation or request that the stranger's event named. Where that is one we know, or one
   * that was lifted from elsewhere, it would tell its real requester that his was refused.
   */
  #isAnswerable(
    event: IncomingEvent,
    { request, reason }: Pick<RefusedRequest, "request" | "reason">,
  ): boolean {
    const { executions } = this.#world;
    const { invocation_id, request_id } = request.content;
    if (reason === "binding_mismatch") return false;
    if (event.backfilled && (reason === "expired" || reason === "replayed")) return false;
    return !executions.byInvocation(invocation_id) && !executions.byRequest(request_id);
  }
}
