import { randomUUID } from "node:crypto";
import { maskArgv } from "@mx-agent/base";
import { shape } from "../admit/checks/shape.ts";
import type { Claim } from "../admit/world.ts";
import type { IncomingEvent } from "../matrix/api.ts";
import type { ReceivedExecution } from "../state/executions.ts";

/** The record of a request whose nonce was just admitted; its run id is made here. */
export function recordOf(event: IncomingEvent, claim: Claim, world: { now(): number }): ReceivedExecution {
  const request = shape(event);
  const { content } = request;
  return {
    run_id: randomUUID(),
    invocation_id: claim.invocation_id,
    request_id: content.request_id,
    kind: request.kind,
    room_id: event.room_id ?? "",
    event_id: event.event_id ?? "",
    sender: event.sender,
    key_id: claim.key_id,
    requesting_agent: content.requesting_agent ?? "",
    target_agent: content.target_agent ?? "",
    summary:
      request.kind === "exec" ? maskArgv(request.content.command).join(" ") : `tool ${request.content.tool}`,
    event: JSON.stringify(event),
    state: "received",
    created_ts: world.now(),
  };
}
