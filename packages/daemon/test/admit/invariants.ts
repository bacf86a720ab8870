import { canonicalJson, verifyBinding, verifySignature } from "@mx-agent/protocol";
import { expect } from "vitest";
import { admit } from "../../src/admit/admit.ts";
import type { IncomingEvent } from "../../src/matrix/api.ts";
import { aliceKey, worldOf } from "./support.ts";

/** What holds for every event there is. */
export function judged(event: IncomingEvent): string {
  const before = JSON.stringify(event);
  let claims = 0;
  const world = worldOf({
    claim: () => {
      claims++;
      return "fresh";
    },
  });
  const admission = admit(event, world);
  const last = admission.steps.at(-1);
  if (admission.outcome === "admitted") {
    // Found out again by other means than the checks.
    const content = Object(event.content);
    const carrier = { room_id: event.room_id ?? "", type: event.type, sender: event.sender, device_id: null };
    expect(verifySignature(content, aliceKey.publicKey)).toBe("ok");
    expect(verifyBinding(content, carrier)).toBe("ok");
    expect(canonicalJson(admission.admitted.request.content)).toBe(canonicalJson(content));
    expect(claims).toBe(1);
    expect(admission.steps.every(({ outcome }) => outcome === "pass")).toBe(true);
  } else {
    // The trace is the decision: its last line is what was decided, and nothing was asked after it.
    expect(last?.outcome).toBe("refuse");
    expect(last?.reason).toBe(admission.outcome === "refused" ? admission.reason : null);
    expect(admission.steps.slice(0, -1).every(({ outcome }) => outcome === "pass")).toBe(true);
    if (admission.outcome === "refused" && admission.key === null && last?.check !== "replay")
      expect(claims).toBe(0);
  }
  // Looking changes nothing.
  if (before !== JSON.stringify(event)) throw new Error("the event was changed");
  return admission.outcome === "refused" ? admission.reason : admission.outcome;
}
