import type { z } from "zod";
import { CanonicalJsonError, canonicalBytes } from "../canonical-json.ts";
import { MAX_CONTENT_BYTES } from "../limits.ts";
import { agent, heartbeat, ping, pong } from "./agent.ts";
import { approvalDecision, approvalRequest } from "./approval.ts";
import { callRequest, callResponse, tool } from "./call.ts";
import { contextShare } from "./context.ts";
import {
  execAccepted,
  execCancel,
  execCancelled,
  execFinished,
  execRejected,
  execRequest,
  execStdin,
  ptyResize,
} from "./exec.ts";
import { inviteAnswer, inviteProof } from "./invite.ts";
import { invocation, invocationAnswer, invocationQuery } from "./invocation.ts";
import { streamAck, streamArtifact, streamChunk, streamResume } from "./stream.ts";
import { task } from "./task.ts";
import type { EventType } from "./types.ts";
import { trust, workspace } from "./workspace.ts";

/** Every content of version 1 by its event type. */
export const schemas = {
  "com.mxagent.exec.request.v1": execRequest,
  "com.mxagent.exec.accepted.v1": execAccepted,
  "com.mxagent.exec.rejected.v1": execRejected,
  "com.mxagent.exec.finished.v1": execFinished,
  "com.mxagent.exec.stdin.v1": execStdin,
  "com.mxagent.exec.cancel.v1": execCancel,
  "com.mxagent.exec.cancelled.v1": execCancelled,
  "com.mxagent.stream.chunk.v1": streamChunk,
  "com.mxagent.stream.artifact.v1": streamArtifact,
  "com.mxagent.stream.ack.v1": streamAck,
  "com.mxagent.stream.resume.v1": streamResume,
  "com.mxagent.pty.resize.v1": ptyResize,
  "com.mxagent.call.request.v1": callRequest,
  "com.mxagent.call.response.v1": callResponse,
  "com.mxagent.context.share.v1": contextShare,
  "com.mxagent.approval.request.v1": approvalRequest,
  "com.mxagent.approval.decision.v1": approvalDecision,
  "com.mxagent.heartbeat.v1": heartbeat,
  "com.mxagent.ping.v1": ping,
  "com.mxagent.pong.v1": pong,
  "com.mxagent.invocation.query.v1": invocationQuery,
  "com.mxagent.invocation.answer.v1": invocationAnswer,
  "com.mxagent.invite.proof.v1": inviteProof,
  "com.mxagent.invite.answer.v1": inviteAnswer,
  "com.mxagent.agent.v1": agent,
  "com.mxagent.task.v1": task,
  "com.mxagent.invocation.v1": invocation,
  "com.mxagent.tool.v1": tool,
  "com.mxagent.workspace.v1": workspace,
  "com.mxagent.trust.v1": trust,
} as const satisfies Record<EventType, z.ZodType>;

/** The fields that we know: a wrong name is then a compile error, though unknown fields are kept at run time. */
type Known<T> = { [K in keyof T as string extends K ? never : K]: T[K] };

/** The content of one event type. */
export type ContentOf<T extends EventType> = Known<z.infer<(typeof schemas)[T]>>;

export type Parsed<T> = { ok: true; value: T } | { ok: false; problem: string };

/**
 * Checks a content that arrived: its fields, its size (MAX_CONTENT_BYTES of canonical JSON) and depth,
 * and that it has canonical JSON at all. `value` is the very object that was given, unknown fields and
 * all, so that its signature can be verified. `problem` names the field and what is wrong with it, and
 * repeats no value. PROTOCOL "Conventions".
 */
export function parseContent<T extends EventType>(type: T, content: unknown): Parsed<ContentOf<T>> {
  const problem = jsonProblem(content) ?? schemaProblem(schemas[type], content);
  return problem === undefined ? { ok: true, value: content as ContentOf<T> } : { ok: false, problem };
}

function jsonProblem(content: unknown): string | undefined {
  try {
    const bytes = canonicalBytes(content).length;
    return bytes > MAX_CONTENT_BYTES
      ? `${bytes} bytes of canonical JSON; at most ${MAX_CONTENT_BYTES} are allowed`
      : undefined;
  } catch (error) {
    if (error instanceof CanonicalJsonError) return error.message;
    throw error;
  }
}

function schemaProblem(schema: z.ZodType, content: unknown): string | undefined {
  const issue = schema.safeParse(content).error?.issues[0];
  if (issue === undefined) return undefined;
  const where = issue.path.map(String).join(".");
  // Keys are a stranger's text: quoted, so that they cannot pose as ours, and bounded.
  const what =
    issue.code === "unrecognized_keys" ? `unknown field ${JSON.stringify(issue.keys[0])}` : issue.message;
  return `${where === "" ? "" : `${where}: `}${what}`.slice(0, 200);
}
