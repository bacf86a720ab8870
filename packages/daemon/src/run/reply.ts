import { shape } from "../admit/checks/shape.ts";
import type { Execution } from "../state/executions.ts";
import { eventOf } from "./event-of.ts";

/** The requester's device, to which streams and a copy of the outcome go; after a new login of his, the new one. */
export interface Reply {
  user_id: string;
  device_id: string;
}

/** Where the requester of a run takes its streams to-device; null for one who reads them in the timeline. */
export function replyOf(execution: Execution): Reply | null {
  const { reply } = shape(eventOf(execution)).content;
  const { sender: user_id, reply_device } = execution;
  return reply ? { user_id, device_id: reply_device ?? reply.device_id } : null;
}
