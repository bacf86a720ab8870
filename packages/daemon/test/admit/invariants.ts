import { canonicalJson, MAX_CLOCK_SKEW_MS, verifyBinding, verifySignature } from "@mx-agent/protocol";
import { expect } from "vitest";
import { admit } from "../../src/admit/admit.ts";
import type { IncomingEvent } from "../../src/matrix/api.ts";
import { aliceKey, NOW } from "./support.ts";
import { type Circumstances, usually, worldIn } from "./worlds.ts";

/** What holds for every event there is, in whatever world it arrives. */
export function judged(event: IncomingEvent, now: Circumstances = usually): string {
  const before = JSON.stringify(event);
  let claims = 0;
  const admission = admit(
    event,
    worldIn(now, () => claims++),
  );
  const { outcome, steps } = admission;
  const last = steps.at(-1);
  const let_through = outcome === "admitted" || outcome === "held";
  if (let_through) {
    // Found out again by other means than the checks.
    const content = Object(event.content);
    const device_id = event.transport.encrypted ? event.transport.device_id : null;
    const carrier = { room_id: event.room_id ?? "", type: event.type, sender: event.sender, device_id };
    expect(verifySignature(content, aliceKey.publicKey)).toBe("ok");
    const bound = verifyBinding(content, carrier);
    expect(now.legacy ? ["ok", "binding_missing"] : ["ok"]).toContain(bound);
    const request = outcome === "admitted" ? admission.admitted.request : admission.request;
    expect(canonicalJson(request.content)).toBe(canonicalJson(content));
    expect([claims, now.claim, now.status, now.joined]).toEqual([1, "fresh", "trusted", true]);
    const clock = NOW + now.ahead;
    expect(clock).toBeLessThan(Date.parse(request.content.expires_at));
    expect(Date.parse(request.content.created_at) - clock).toBeLessThanOrEqual(MAX_CLOCK_SKEW_MS);
    if (now.encrypted)
      expect(event.transport).toMatchObject({ authentic: true, device_id: expect.any(String) });
    if (now.policy === "verified") expect(event.transport).toMatchObject({ verified: true });
    expect(now.policy === "holds").toBe(outcome === "held");
    expect(["missing", "broken"]).not.toContain(now.policy);
    if (outcome === "admitted") {
      expect(now.running).toBeLessThan(4);
      if (now.policy === "rated") expect(now.lastMinute).toBeLessThan(3);
    }
  } else {
    // The trace is the decision: its last line is what was decided, and nothing was asked after it.
    expect(last?.outcome).toBe("refuse");
    expect(last?.reason).toBe(outcome === "refused" ? admission.reason : null);
    if (outcome === "refused" && admission.key === null && last?.check !== "replay") expect(claims).toBe(0);
  }
  if (outcome === "held") expect(last?.outcome).toBe("hold");
  const others = outcome === "admitted" ? steps : steps.slice(0, -1);
  expect(others.every((step) => step.outcome === "pass")).toBe(true);
  // Looking changes nothing.
  if (before !== JSON.stringify(event)) throw new Error("the event was changed");
  return outcome === "refused" ? admission.reason : outcome;
}
