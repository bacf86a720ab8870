/** Worlds in which something is not as it should be: a key that was revoked, an encrypted room, another policy. */
import { loadPolicy } from "@mx-agent/policy";
import fc from "fast-check";
import type { World } from "../../src/admit/world.ts";
import { aliceKey, approval, machine, NOW, policyText, ROOM, worldOf } from "./support.ts";

export interface Circumstances {
  status: "trusted" | "revoked" | "expired";
  legacy: boolean;
  joined: boolean;
  encrypted: boolean;
  claim: "fresh" | "replayed" | "full";
  policy: keyof typeof policies;
  running: number;
  lastMinute: number;
  /** Milliseconds by which this clock is ahead of the requester's. */
  ahead: number;
}

const load = (text: string | null) => loadPolicy(text, "policy.toml", machine);
export const policies = {
  usual: load(policyText),
  holds: load(`${policyText}requires_approval = true\n`),
  verified: load(`${policyText}require_verified_device = true\n`),
  rated: load(`${policyText}max_per_minute = 3\n`),
  missing: load(null),
  broken: load("version = \n"),
};

export const usually: Circumstances = {
  status: "trusted",
  legacy: false,
  joined: true,
  encrypted: false,
  claim: "fresh",
  policy: "usual",
  running: 0,
  lastMinute: 0,
  ahead: 0,
};

const any = fc.record<Circumstances>({
  status: fc.constantFrom("trusted", "trusted", "revoked", "expired"),
  legacy: fc.boolean(),
  joined: fc.constantFrom(true, true, true, false),
  encrypted: fc.boolean(),
  claim: fc.constantFrom("fresh", "fresh", "fresh", "replayed", "full"),
  policy: fc.constantFrom("usual", "usual", "holds", "verified", "rated", "missing", "broken"),
  running: fc.constantFrom(0, 0, 3, 4, 100),
  lastMinute: fc.constantFrom(0, 0, 2, 3, 1000),
  ahead: fc.constantFrom(0, 0, 0, 119_999, 120_000, -120_000, -120_001, 1e9),
});

export const anyCircumstances = fc.oneof({ weight: 2, arbitrary: fc.constant(usually) }, any);

/** `claimed` is called for each claim. */
export function worldIn(now: Circumstances, claimed: () => void): World {
  return worldOf({
    now: () => NOW + now.ahead,
    trusted: (room_id, agent_id, key_id) =>
      room_id === ROOM && agent_id === "alice" && key_id === aliceKey.key_id
        ? approval({ status: now.status, legacy: now.legacy })
        : undefined,
    isJoined: () => now.joined,
    isEncrypted: () => now.encrypted,
    claim: () => {
      claimed();
      return now.claim;
    },
    policy: policies[now.policy],
    running: () => now.running,
    requestsInLastMinute: () => now.lastMinute,
  });
}
