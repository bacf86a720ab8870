/**
 * The executing side: an event becomes a decision, a decision a run, a run its outcome. Each step is durable
 * before the next begins, and a restart goes on where the last one stood (DESIGN.md, "At most once").
 */

import { failpoint, MxError } from "@mx-agent/base";
import type { Explanation } from "@mx-agent/ipc";
import { EventTypes, parseContent } from "@mx-agent/protocol";
import type { Logger } from "pino";
import { type Admission, AGAIN, admit, IMAGINED, ON_ARRIVAL } from "../admit/admit.ts";
import { shape } from "../admit/checks/shape.ts";
import type { Assumed } from "../admit/trace.ts";
import type { IncomingEvent } from "../matrix/api.ts";
import { answerHeld, answerRefused, type RefusedRequest } from "../publish/answers.ts";
import type { Execution } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import { explanationOf } from "./explanation.ts";
import { type ImaginedRequest, imaginedEvent } from "./imagined.ts";
import { recordOf } from "./record.ts";
import type { Runs } from "./runs.ts";

/** A control message's nonce is remembered for a day; the run it names is over by then. */
const NONCE_LIFETIME_MS = 24 * 3_600_000;

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
    if (admission?.outcome === "admitted") await this.#runs.start(admission.admitted);
  }

  /** Requests that were admitted and not started when the last daemon ended are decided on again. */
  async resumeAdmitted(): Promise<void> {
    for (const execution of this.#world.executions.inState("received", "admitted")) {
      const admission = this.#decide(eventOf(execution), AGAIN, execution);
      if (admission?.outcome === "admitted") await this.#runs.start(admission.admitted);
    }
  }

  /** The requester withdraws a request that was not started. The message was verified as his. */
  async cancelWaiting(execution: Execution, event: IncomingEvent): Promise<void> {
    const { db, executions, nonces, now } = this.#world;
    const parsed = parseContent(EventTypes.execCancel, event.content);
    if (!parsed.ok || execution.state !== "held") return;
    db.transaction(() => {
      if (nonces.admit(execution.key_id, parsed.value.nonce, now() + NONCE_LIFETIME_MS, now()) !== "fresh")
        return;
      executions.setDecision(
        execution.run_id,
        "rejected",
        "approval_denied",
        execution.explanation ?? "null",
      );
    });
  }

  /** Held requests whose time is over are answered so. */
  expireHeld(): void {
    const { db, executions, now } = this.#world;
    for (const held of executions.inState("held")) {
      if ((held.hold_expires_ts ?? 0) > now()) continue;
      db.transaction(() => {
        executions.setDecision(held.run_id, "rejected", "approval_expired", held.explanation ?? "null");
        const event = eventOf(held);
        answerRefused(event, { request: shape(event), reason: "approval_expired", hint: null }, this.#world);
      });
    }
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
      answerRefused(event, { request: shape(event), reason: "over_capacity", hint }, this.#world);
      return undefined;
    }
  }

  #decide(event: IncomingEvent, assumed: Assumed, known?: Execution): Admission | undefined {
    const { db } = this.#world;
    return db.transaction(() => {
      let run_id = known?.run_id;
      let redelivered = false;
      const world = this.#world.forAdmission((claim) => {
        const earlier = this.#world.executions.byInvocation(claim.invocation_id);
        if (earlier) {
          redelivered = earlier.event_id === event.event_id && earlier.key_id === claim.key_id;
          return "replayed";
        }
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
    if (admission.outcome === "silence") return;
    const { audit, executions } = this.#world;
    if (admission.outcome === "refused" && admission.key === null) {
      this.#refuseEarly(event, admission);
      return;
    }
    failpoint("admit.before-audit");
    audit.decision(event, admission);
    failpoint("admit.after-audit");
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

  /** Failed before its signature was verified: counted, and answered at most once in a while. */
  #refuseEarly(event: IncomingEvent, refused: Extract<Admission, { outcome: "refused" }>): void {
    const room_id = event.room_id ?? "";
    // For whom it was is known only once it was parsed; what cannot be parsed is answered to nobody.
    const { request } = refused;
    const may = this.#world.early.count(refused.reason, event.sender, room_id);
    const old = event.backfilled && (refused.reason === "expired" || refused.reason === "replayed");
    if (!may || old || !request) return;
    const answer: RefusedRequest = { ...refused, request };
    answerRefused(event, answer, this.#world);
  }
}
