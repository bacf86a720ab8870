/** Running a command: PROTOCOL "Timeline events", exec.* and pty.resize. */
import { z } from "zod";
import {
  argv,
  base64,
  count,
  env,
  exitCode,
  id,
  looseTime,
  mxcUri,
  nonce,
  osString,
  reply,
  sha256,
  signed,
  text,
  time,
  uint16,
  word,
} from "./fields.ts";

export const execRequest = z
  .looseObject({
    invocation_id: id,
    request_id: id,
    target_agent: id,
    requesting_agent: id,
    command: argv,
    cwd: osString,
    env,
    stdin: z.boolean(),
    stream: z.boolean(),
    pty: z.boolean(),
    timeout_ms: count,
    task_id: id.nullable(),
    created_at: time,
    expires_at: time,
    nonce,
    idempotency_key: z.string(),
    reply: z.exactOptional(reply),
    target_key_id: z.exactOptional(id),
    ...signed,
  })
  .refine((request) => request.idempotency_key === `exec:${request.invocation_id}`, {
    path: ["idempotency_key"],
    message: "not exec:<invocation_id>",
  });

export const execAccepted = z.looseObject({
  invocation_id: id,
  device_id: z.exactOptional(id),
  ...signed,
});

export const execRejected = z.looseObject({
  invocation_id: id,
  /** One of ours, or what another version says; see reasons.ts. */
  reason: word,
  /** What a person can do about it. */
  detail: z.exactOptional(text),
  ...signed,
});

export const outcome = z.enum([
  "exited",
  "signaled",
  "timed_out",
  "cancelled",
  "output_limit",
  "spawn_failed",
  "interrupted",
]);

export const execFinished = z.looseObject({
  invocation_id: id,
  exit_code: exitCode.nullable(),
  /** A name such as SIGTERM. */
  signal: word.nullable(),
  duration_ms: count,
  stdout_bytes: count,
  stderr_bytes: count,
  truncated: z.boolean(),
  artifact_mxc: mxcUri.nullable(),
  outcome: z.exactOptional(outcome),
  /** Over all bytes sent. */
  stdout_sha256: z.exactOptional(sha256),
  stderr_sha256: z.exactOptional(sha256),
  /** How many chunks were sent, the EOF marker among them. */
  stdout_chunks: z.exactOptional(count),
  stderr_chunks: z.exactOptional(count),
  request_sha256: z.exactOptional(sha256),
  ...signed,
});

export const execStdin = z.looseObject({
  invocation_id: id,
  data: base64,
  eof: z.boolean(),
  created_at: time,
  nonce,
  /** Present to-device, where it protects from replay. */
  seq: z.exactOptional(count),
  ...signed,
});

export const execCancel = z.looseObject({
  invocation_id: id,
  reason: text,
  created_at: time,
  nonce,
  ...signed,
});

export const execCancelled = z.looseObject({
  invocation_id: id,
  /** A name such as SIGTERM; empty when there was nothing to signal. */
  signal_sent: text,
  killed_process_group: z.boolean(),
  finished_at: looseTime,
  ...signed,
});

export const ptyResize = z.looseObject({
  invocation_id: id,
  rows: uint16,
  cols: uint16,
  /** 0 when the terminal does not say. */
  pixel_width: count,
  pixel_height: count,
  created_at: time,
  nonce,
  ...signed,
});
