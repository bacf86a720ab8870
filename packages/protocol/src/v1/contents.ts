/** The contents' types by name, for those who write and read them. */
import type { z } from "zod";
import type { encryptedFile } from "./fields.ts";
import type { ContentOf } from "./registry.ts";
import type { taskAction, taskAuthorization } from "./task.ts";

export type ExecRequest = ContentOf<"com.mxagent.exec.request.v1">;
export type ExecAccepted = ContentOf<"com.mxagent.exec.accepted.v1">;
export type ExecRejected = ContentOf<"com.mxagent.exec.rejected.v1">;
export type ExecFinished = ContentOf<"com.mxagent.exec.finished.v1">;
export type ExecStdin = ContentOf<"com.mxagent.exec.stdin.v1">;
export type ExecCancel = ContentOf<"com.mxagent.exec.cancel.v1">;
export type ExecCancelled = ContentOf<"com.mxagent.exec.cancelled.v1">;
export type StreamChunk = ContentOf<"com.mxagent.stream.chunk.v1">;
export type StreamArtifact = ContentOf<"com.mxagent.stream.artifact.v1">;
export type StreamAck = ContentOf<"com.mxagent.stream.ack.v1">;
export type StreamResume = ContentOf<"com.mxagent.stream.resume.v1">;
export type PtyResize = ContentOf<"com.mxagent.pty.resize.v1">;
export type CallRequest = ContentOf<"com.mxagent.call.request.v1">;
export type CallResponse = ContentOf<"com.mxagent.call.response.v1">;
export type ContextShare = ContentOf<"com.mxagent.context.share.v1">;
export type ApprovalRequest = ContentOf<"com.mxagent.approval.request.v1">;
export type ApprovalDecision = ContentOf<"com.mxagent.approval.decision.v1">;
export type Heartbeat = ContentOf<"com.mxagent.heartbeat.v1">;
export type Ping = ContentOf<"com.mxagent.ping.v1">;
export type Pong = ContentOf<"com.mxagent.pong.v1">;
export type InvocationQuery = ContentOf<"com.mxagent.invocation.query.v1">;
export type InvocationAnswer = ContentOf<"com.mxagent.invocation.answer.v1">;
export type AgentState = ContentOf<"com.mxagent.agent.v1">;
export type TaskState = ContentOf<"com.mxagent.task.v1">;
export type InvocationDisplay = ContentOf<"com.mxagent.invocation.v1">;
export type ToolState = ContentOf<"com.mxagent.tool.v1">;
export type WorkspaceState = ContentOf<"com.mxagent.workspace.v1">;
export type TrustState = ContentOf<"com.mxagent.trust.v1">;

export type TaskAction = z.infer<typeof taskAction>;
export type TaskAuthorization = z.infer<typeof taskAuthorization>;
export type EncryptedFile = z.infer<typeof encryptedFile>;
