import { type Decision, decide, type Grant, type PolicyRequest } from "@mx-agent/policy";
import type { IncomingEvent } from "../../matrix/api.ts";
import type { OwnAgent } from "../../state/own-agents.ts";
import type { RunRequest } from "../admitted.ts";
import { Refusal } from "../refusal.ts";
import type { World } from "../world.ts";

/** Step 10: deny, hold, or allow with limits: always the tighter of what was asked and what is granted. */
export function policy(
  request: RunRequest,
  event: IncomingEvent,
  agent: OwnAgent,
  world: World,
): Exclude<Decision, { effect: "deny" }> {
  const decision = decide(world.policy, policyRequest(request, event, agent, world.under), world.machine);
  if (decision.effect === "deny")
    throw new Refusal(decision.reason, `${decision.code}, by ${decision.rule}`, decision.detail);
  return decision;
}

/** The request in the policy's words. A working directory that was not named is the agent's own. */
export function policyRequest(
  request: RunRequest,
  event: IncomingEvent,
  agent: OwnAgent,
  under: Grant | null,
): PolicyRequest {
  const { content } = request;
  const { transport } = event;
  const base = {
    room_id: agent.room_id,
    user_id: event.sender,
    device_verified: transport.encrypted && transport.verified,
    under: under ?? undefined,
  };
  if (request.kind === "call")
    return {
      ...base,
      ask: { kind: "call", tool: request.content.tool, args: request.content.args },
      cwd: null,
      env: {},
      timeout_ms: request.content.timeout_ms ?? null,
    };
  const cwd = request.content.cwd === "" ? agent.cwd : request.content.cwd;
  return {
    ...base,
    ask: { kind: "exec", command: request.content.command },
    cwd: cwd === "" ? null : cwd,
    env: request.content.env,
    timeout_ms: content.timeout_ms ?? null,
  };
}
