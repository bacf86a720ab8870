import type { IncomingEvent } from "../matrix/api.ts";
import type { Execution } from "../state/executions.ts";

/** The event of a recorded request, as it arrived. */
export function eventOf(execution: Pick<Execution, "event">): IncomingEvent {
  return JSON.parse(execution.event);
}
