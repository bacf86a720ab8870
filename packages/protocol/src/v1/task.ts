/** Work in a graph: state `task`, its action, authorization and origin. PROTOCOL "State events". */
import { z } from "zod";
import {
  argv,
  binding,
  count,
  env,
  id,
  idOrEmpty,
  jsonObject,
  jsonValue,
  looseTime,
  nonce,
  osString,
  signature,
  text,
  time,
  word,
} from "./fields.ts";

export const taskAuthorization = z.strictObject({
  requesting_agent: id,
  target_agent: id,
  created_at: time,
  expires_at: time,
  nonce,
  signature,
});

const authorization = z.exactOptional(taskAuthorization);

export const taskAction = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("tool"), tool: id, args: jsonObject, authorization }),
  z.strictObject({
    type: z.literal("exec"),
    command: argv,
    cwd: osString,
    env,
    timeout_ms: count.nullable(),
    stream: z.boolean(),
    authorization,
  }),
]);

/** Who made the task, signed, and kept by whoever updates it. */
export const taskOrigin = z.looseObject({ binding, signature });

/** State key `task_id`. A title or a description is never read as work to do. */
export const task = z.looseObject({
  task_id: id,
  title: text,
  description: text,
  /** `pending`, `executing`, `succeeded` …: the vocabulary of whoever plans. */
  state: word,
  /** Empty when nobody is. */
  assigned_to: idOrEmpty,
  created_by: id,
  depends_on: z.array(id),
  blocks: z.array(id),
  invocation_id: id.nullable(),
  created_at: looseTime,
  updated_at: looseTime,
  state_rev: count,
  previous_event_id: id.nullable(),
  result: jsonValue,
  action: z.exactOptional(taskAction),
  origin: z.exactOptional(taskOrigin),
  retry: z.exactOptional(jsonObject),
  deadline: z.exactOptional(time),
  lease: z.exactOptional(jsonObject),
});
