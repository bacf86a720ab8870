/**
 * Steps 2 to 10 of a request's life (DESIGN.md): the one way to an `Admitted`, for requests from peers, from
 * this machine and from tasks alike, and what `policy explain` replays.
 */
import type { TraceStep } from "@mx-agent/ipc";
import type { Grant } from "@mx-agent/policy";
import type { Reason } from "@mx-agent/protocol";
import type { IncomingEvent } from "../matrix/api.ts";
import type { Admitted, RequestKey, RunRequest } from "./admitted.ts";
import { address, addressed } from "./checks/address.ts";
import { binding } from "./checks/binding.ts";
import { capacity } from "./checks/capacity.ts";
import { device } from "./checks/device.ts";
import { freshness } from "./checks/freshness.ts";
import { key } from "./checks/key.ts";
import { policy } from "./checks/policy.ts";
import { replay } from "./checks/replay.ts";
import { shape } from "./checks/shape.ts";
import { signature } from "./checks/signature.ts";
import { Refusal, Silence } from "./refusal.ts";
import { type Assumed, Trace } from "./trace.ts";
import type { World } from "./world.ts";

/** Decided on for the first time. */
export const ON_ARRIVAL: Assumed = new Set();
/** Decided on again while it is held, or to explain it: freshness and nonce were settled on arrival. */
export const AGAIN: Assumed = new Set(["freshness", "replay", "capacity"]);
/** Decided on again while it runs: whose agent it was settled on arrival, too, and takes nobody's key or policy out of force. */
export const WHILE_RUNNING: Assumed = new Set([...AGAIN, "address"]);
/** Decided on again by a restarted daemon that had not started it: what expired in between is not run. */
export const AFTER_RESTART: Assumed = new Set(["replay", "capacity"]);
/** What would be decided on a request that nobody sent. */
export const IMAGINED: Assumed = new Set([
  "freshness",
  "binding",
  "signature",
  "replay",
  "device",
  "capacity",
]);

interface Decided {
  steps: TraceStep[];
  /** The policy's rule that decided; for the operator and the audit log. */
  rule: string | null;
}

export type Admission = Decided &
  (
    | { outcome: "silence"; detail: string }
    | {
        outcome: "refused";
        reason: Reason;
        detail: string;
        hint: string | null;
        /** Whether the signature was verified: only then does anything about it last. */
        request: RunRequest | null;
        key: RequestKey | null;
      }
    | { outcome: "held"; request: RunRequest; key: RequestKey; approvers: string[]; grant: Grant }
    | { outcome: "admitted"; admitted: Admitted }
  );

/** Decides on a request. Changes nothing but through `world.claim`, which is the caller's transaction. */
export function admit(event: IncomingEvent, world: World, assumed: Assumed = ON_ARRIVAL): Admission {
  const trace = new Trace(assumed);
  const room_id = event.room_id ?? "";
  let request: RunRequest | null = null;
  let verified: RequestKey | null = null;
  try {
    const shaped = trace.check("shape", () => shape(event));
    const { content } = shaped;
    request = shaped;
    const agent =
      trace.checkUnlessAssumed("address", () => address(shaped, room_id, world), undefined) ??
      addressed(shaped, room_id, world);
    trace.checkUnlessAssumed("freshness", () => freshness(content, world.now()), undefined);
    const bound = trace.checkUnlessAssumed("binding", () => binding(event, content, room_id), "bound");
    const claimant = {
      room_id,
      sender: event.sender,
      requesting_agent: content.requesting_agent,
      key_id: content.signature?.key_id,
    };
    const candidate = trace.check("key", () => key(claimant, bound, world));
    trace.checkUnlessAssumed("signature", () => signature(content, candidate), undefined);
    trace.checkUnlessAssumed("replay", () => replay(shaped, candidate, world), undefined);
    verified = candidate;
    trace.checkUnlessAssumed("device", () => device(event, room_id, world), undefined);
    const decision = trace.check("policy", () => policy(shaped, event, agent, world));
    const { grant, rule } = decision;
    if (decision.effect === "hold") {
      trace.hold("approval", rule);
      return {
        outcome: "held",
        request,
        key: candidate,
        approvers: decision.approvers,
        grant,
        rule,
        steps: trace.steps,
      };
    }
    trace.checkUnlessAssumed("capacity", () => capacity(grant, claimant, world), undefined);
    const admitted = { event, request, agent, key: candidate, grant } as Admitted;
    return { outcome: "admitted", admitted, rule, steps: trace.steps };
  } catch (thrown) {
    const decided = { rule: null, steps: trace.steps };
    if (thrown instanceof Silence) return { ...decided, outcome: "silence", detail: thrown.message };
    if (!(thrown instanceof Refusal)) throw thrown;
    const { reason, detail, hint } = thrown;
    return { ...decided, outcome: "refused", reason, detail, hint, request, key: verified };
  }
}
