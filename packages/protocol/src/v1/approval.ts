/** Asking a person: PROTOCOL "Timeline events", approval.*. */
import { z } from "zod";
import { id, idOrEmpty, nonce, sha256, signed, text, time, word } from "./fields.ts";

export const approvalRequest = z.looseObject({
  request_id: id,
  /** Empty when it is about a task of a daemon of the first protocol. */
  invocation_id: idOrEmpty,
  requester: id,
  target: id,
  summary: text,
  risk: word,
  expires_at: time,
  request_sha256: z.exactOptional(sha256),
  ...signed,
});

export const approvalDecision = z.looseObject({
  request_id: id,
  decision: z.enum(["approved", "denied"]),
  approved_by: id,
  created_at: time,
  nonce,
  expires_at: time,
  request_sha256: z.exactOptional(sha256),
  ...signed,
});
