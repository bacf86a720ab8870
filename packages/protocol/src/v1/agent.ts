/** Who is there: state `agent`, heartbeats, ping and pong. PROTOCOL "State events", "To-device events", "Liveness". */
import { z } from "zod";
import { decodeBase64Unpadded } from "../base64.ts";
import { count, id, load, nonce, sha256, signature, signed, text, time, word } from "./fields.ts";

const publicKey = z
  .string()
  .refine((value) => decodeBase64Unpadded(value)?.length === 32, "not 32 bytes in base64 without padding");

/** The user's next key, or the one that is used now, announced by the key before it; rotation.ts verifies it. */
export const rotation = z.looseObject({
  user_id: id,
  from_key_id: id,
  key_id: id,
  public_key: publicKey,
  created_at: time,
  /** By the key before, over the canonical JSON of this object without both signatures. */
  signature,
  /** The same, by the new key. */
  proof: signature,
});

/** State key `agent_id`. An agent is unregistered by its full content with status `offline`. */
export const agent = z.looseObject({
  agent_id: id,
  kind: word,
  matrix_user_id: id,
  device_id: id,
  signing_key_id: id,
  signing_public_key: z.exactOptional(publicKey),
  status: z.enum(["active", "offline"]),
  capabilities: z.array(text),
  /** `name@version`. */
  tools: z.array(text),
  /** Empty strings where it is not known. */
  workspace: z.strictObject({ cwd: text, project_id: text, git_commit: text }),
  load,
  last_seen_ts: count,
  state_rev: count,
  /** The last line of the audit log that its signed checkpoint covers, so that peers find a cut or a rewrite. */
  audit_head: z.exactOptional(z.looseObject({ seq: count, sha256 })),
  rotation: z.exactOptional(rotation),
  ...signed,
});

/** Read from peers of the first protocol; ours answer pings instead. */
export const heartbeat = z.looseObject({ agent_id: id, status: word, load, ts: count });

const probe = { from_agent: id, target_agent: id, nonce, ts: count, ...signed };

export const ping = z.looseObject(probe);
/** Repeats both agents of the ping and echoes its nonce. */
export const pong = z.looseObject(probe);
