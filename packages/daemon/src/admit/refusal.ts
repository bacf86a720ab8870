import type { Reason } from "@mx-agent/protocol";

/**
 * A check's refusal. `detail` is for the operator here, `hint` may go to the peer: never which rule of the
 * policy decided.
 */
export class Refusal extends Error {
  readonly reason: Reason;
  readonly detail: string;
  readonly hint: string | null;

  constructor(reason: Reason, detail: string, hint: string | null = null) {
    super(`${reason}: ${detail}`);
    this.reason = reason;
    this.detail = detail;
    this.hint = hint;
  }
}

/** The request is for another agent, or was handled already: no answer, no trace in the room. */
export class Silence extends Error {}
