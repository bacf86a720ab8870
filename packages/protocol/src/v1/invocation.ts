/** What became of a run: state `invocation` for display, and the question between two daemons. */
import { z } from "zod";
import { count, exitCode, id, looseTime, nonce, signed } from "./fields.ts";

/** State key `invocation_id`. Nothing acts on it. */
export const invocation = z.looseObject({
  invocation_id: id,
  task_id: id.nullable(),
  requester: id,
  target: id,
  state: z.enum(["accepted", "running", "succeeded", "failed", "cancelled"]),
  created_at: looseTime,
  updated_at: looseTime,
  exit_code: exitCode.nullable(),
  state_rev: count,
});

export const invocationQuery = z.looseObject({ invocation_id: id, nonce, ...signed });

/**
 * Echoes the query's nonce. A final state (`rejected`, `finished`, `cancelled`) is followed by that
 * event itself, sent again: the answer repeats none of its fields.
 */
export const invocationAnswer = z.looseObject({
  invocation_id: id,
  nonce,
  state: z.enum(["unknown", "held", "accepted", "running", "rejected", "finished", "cancelled"]),
  ...signed,
});
