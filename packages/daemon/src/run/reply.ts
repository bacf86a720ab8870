import { shape } from "../admit/checks/shape.ts";
import type { Execution } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";

/** The requester's device, to which streams and a copy of the outcome go. */
export interface Reply {
  user_id: string;
  device_id: string;
}

/** Where the requester of a run takes its streams to-device; null for one who reads them in the timeline. */
export function replyOf(execution: Execution): Reply | null {
  const { reply } = shape(eventOf(execution)).content;
  return reply ? { user_id: execution.sender, device_id: reply.device_id } : null;
}
