/** Calling a named tool: PROTOCOL "Timeline events", call.*; state `tool`. */
import { z } from "zod";
import { count, id, jsonObject, jsonValue, nonce, reply, signed, text, time, word } from "./fields.ts";

export const callRequest = z.looseObject({
  invocation_id: id,
  request_id: id,
  /** `name` or `name@version`. */
  tool: id,
  args: jsonObject,
  created_at: time,
  expires_at: time,
  nonce,
  requesting_agent: z.exactOptional(id),
  target_agent: z.exactOptional(id),
  timeout_ms: z.exactOptional(count),
  reply: z.exactOptional(reply),
  target_key_id: z.exactOptional(id),
  ...signed,
});

export const callResponse = z.looseObject({
  request_id: id,
  ok: z.boolean(),
  /** null when it failed. */
  result: jsonValue,
  /** A sentence; null when it succeeded. */
  error: text.nullable(),
  /** A reason of the catalogue, or what another version says. */
  code: z.exactOptional(word),
  ...signed,
});

/** State key `agent_id|name`. */
export const tool = z.looseObject({
  name: id,
  version: id,
  description: text,
  input_schema: jsonValue,
  output_schema: jsonValue,
});
