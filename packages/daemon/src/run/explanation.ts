import type { Explanation } from "@mx-agent/ipc";
import type { Admission } from "../admit/admit.ts";

/** An admission in the words of `policy explain`. */
export function explanationOf(admission: Admission, request_id: string | null): Explanation {
  const { steps: trace, rule } = admission;
  switch (admission.outcome) {
    case "admitted":
      return {
        request_id,
        decision: "allow",
        reason: null,
        rule,
        trace,
        limits: { ...admission.admitted.grant.limits },
      };
    case "held":
      return {
        request_id,
        decision: "hold",
        reason: null,
        rule,
        trace,
        limits: { ...admission.grant.limits },
      };
    case "refused":
      return {
        request_id,
        decision: "deny",
        reason: admission.reason,
        rule: admission.detail,
        trace,
        limits: null,
      };
    case "silence":
      return { request_id, decision: "deny", reason: null, rule: admission.detail, trace, limits: null };
  }
}
