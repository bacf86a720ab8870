/** What a room is about, and advice about keys: states `workspace` and `trust`. */
import { z } from "zod";
import { count, id, looseTime, text } from "./fields.ts";

/** Empty state key. */
export const workspace = z.looseObject({
  project_id: text,
  path: text,
  repo: z
    .strictObject({ remote_url: text.nullable(), branch: text.nullable(), commit: text.nullable() })
    .nullable(),
  attached_by: id,
  attached_at: count,
  state_rev: count,
});

/** State key `agent_id|key_id`. Advice for people; it grants nothing. */
export const trust = z.looseObject({
  agent_id: id,
  key_id: id,
  fingerprint: text,
  status: z.enum(["trusted", "revoked"]),
  trusted_by: id,
  created_at: looseTime,
  expires_at: looseTime.nullable(),
  revoked_at: looseTime.nullable(),
});
