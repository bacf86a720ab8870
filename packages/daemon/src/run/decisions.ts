/**
 * Steps 2 to 11 with what they leave behind: a request is decided on, the decision is recorded and put into the audit
 * log, and only then is it answered. Requests that came together share one sync of the log, and nothing else.
 */
import { failpoint, MxError } from "@mx-agent/base";
import type { Logger } from "pino";
import { type Admission, AFTER_RESTART, admit, ON_ARRIVAL } from "../admit/admit.ts";
import type { Admitted, RunRequest } from "../admit/admitted.ts";
import type { Assumed } from "../admit/trace.ts";
import type { Claim } from "../admit/world.ts";
import type { IncomingEvent } from "../matrix/api.ts";
import { answerHeld, answerRefused, type RefusedRequest } from "../publish/answers.ts";
import type { Execution } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import { explanationOf } from "./explanation.ts";
import { recordOf } from "./record.ts";

export type DecisionsWorld = Pick<
  ExecutorWorld,
  | "db"
  | "executions"
  | "nonces"
  | "audit"
  | "early"
  | "identity"
  | "outbox"
  | "policy"
  | "now"
  | "forAdmission"
>;

/** A disk that takes nothing, or an audit log that somebody removed or changed. */
const NOT_ON_RECORD: ReadonlySet<string> = new Set(["MX_CANNOT_WRITE", "MX_STORE_DAMAGED"]);

interface Decided {
  event: IncomingEvent;
  admission: Admission;
  /** Its record's; undefined where it failed before it had one. */
  run_id: string | undefined;
}

export class Decisions {
  readonly #world: DecisionsWorld;
  readonly #logger: Logger;

  constructor(world: DecisionsWorld, logger: Logger) {
    this.#world = world;
    this.#logger = logger;
  }

  /**
   * Requests from the inbox, decided on in the order in which they came: each claims its nonce before the next is
   * looked at. All of them are on record when it returns. Where that cannot be, none is, nothing of them is known or
   * answered, and it throws.
   */
  decide(events: readonly IncomingEvent[]): Admitted[] {
    return this.#onRecord(() => events.flatMap((event) => this.#decide(event, ON_ARRIVAL) ?? []));
  }

  /** As `decide`, for one by itself: what cannot be put on record is not run, and the requester is told, if he can be. */
  decideAlone(event: IncomingEvent): Admitted[] {
    try {
      return this.decide([event]);
    } catch (error) {
      if (!(error instanceof MxError) || !NOT_ON_RECORD.has(error.code)) throw error;
      this.#logger.error(
        { err: error, event_id: event.event_id },
        "a decision could not be written; nothing was run",
      );
      const hint = "the executing machine cannot write its audit log; its operator finds more in its log";
      const request = this.#verifiedRequest(event);
      if (request) answerRefused(event, { request, reason: "over_capacity", hint }, this.#world);
      return [];
    }
  }

  /** A request that was on record already when the last daemon ended, and that was not started. */
  decideAgain(execution: Execution): Admitted[] {
    return this.#onRecord(() => this.#decide(eventOf(execution), AFTER_RESTART, execution.run_id) ?? []);
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

  #onRecord(decide: () => Decided[] | Decided): Admitted[] {
    const { db, audit, policy } = this.#world;
    // What comes of a policy that has changed is not to be undone with a decision that cannot be put on record.
    policy.current();
    // The audit log is synced in it; the rest the events in the inbox lead to again, and a run has `starting`.
    return db.passingTransaction(() => {
      const decided = [audit.together(decide)].flat();
      failpoint("admit.after_audit");
      for (const one of decided) this.#answer(one);
      return decided.flatMap(({ admission }) =>
        admission.outcome === "admitted" ? [admission.admitted] : [],
      );
    });
  }

  /** undefined: an event that was decided on before a crash has come again. */
  #decide(event: IncomingEvent, assumed: Assumed, known?: string): Decided | undefined {
    let run_id = known;
    let redelivered = false;
    const claim = (asked: Claim) => {
      const { executions, nonces, now } = this.#world;
      const earlier = executions.byInvocation(asked.invocation_id);
      if (earlier) {
        redelivered = earlier.event_id === event.event_id && earlier.key_id === asked.key_id;
        return "replayed";
      }
      if (executions.isAnothersRequest(asked.request_id, asked.key_id)) return "replayed";
      const nonce = nonces.admit(asked.key_id, asked.nonce, asked.expires_ts, now());
      if (nonce !== "fresh") return nonce;
      const record = recordOf(event, asked, this.#world);
      run_id = record.run_id;
      executions.insert(record);
      return "fresh";
    };
    const admission = admit(event, this.#world.forAdmission(claim), assumed);
    if (redelivered) return undefined;
    const decided = { event, admission, run_id };
    this.#record(decided);
    return decided;
  }

  /** What comes after it in the same group is decided on in the knowledge of it: counts, ids, nonces. */
  #record({ event, admission, run_id }: Decided): void {
    const { audit, executions } = this.#world;
    if (admission.outcome === "silence") {
      // Recorded, and its agent is no longer ours: nobody else will ever end it.
      if (run_id !== undefined) executions.setDecision(run_id, "rejected", "policy_denied", "null");
      return;
    }
    if (isEarly(admission, run_id)) return;
    failpoint("admit.before_audit");
    audit.decision(event, admission);
    if (run_id === undefined) return;
    const explanation = JSON.stringify(explanationOf(admission, null));
    const state = admission.outcome === "refused" ? "rejected" : admission.outcome;
    const reason = admission.outcome === "refused" ? admission.reason : null;
    const granted = admission.outcome === "admitted" ? admission.admitted.grant : null;
    executions.setDecision(run_id, state, reason, explanation, granted);
  }

  #answer({ event, admission, run_id }: Decided): void {
    if (admission.outcome === "refused" && isEarly(admission, run_id)) this.#answerEarly(event, admission);
    else if (run_id === undefined) return;
    else if (admission.outcome === "held")
      this.#world.executions.setHeld(run_id, answerHeld(event, admission, this.#world));
    else if (admission.outcome === "refused" && admission.request)
      answerRefused(event, { ...admission, request: admission.request }, this.#world);
  }

  /** Failed before its signature and nonce were settled: counted, and answered at most once in a while. */
  #answerEarly(event: IncomingEvent, refused: Extract<Admission, { outcome: "refused" }>): void {
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

/** Whether it failed before its signature and nonce were settled: then nothing about it lasts. */
function isEarly(admission: Admission, run_id: string | undefined): boolean {
  return admission.outcome === "refused" && admission.key === null && run_id === undefined;
}
