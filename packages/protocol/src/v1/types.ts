/** Event types of version 1: `com.mxagent.<name>.v1`. A later, incompatible meaning gets a new version. */
export const EventTypes = {
  execRequest: "com.mxagent.exec.request.v1",
  execAccepted: "com.mxagent.exec.accepted.v1",
  execRejected: "com.mxagent.exec.rejected.v1",
  execFinished: "com.mxagent.exec.finished.v1",
  execStdin: "com.mxagent.exec.stdin.v1",
  execCancel: "com.mxagent.exec.cancel.v1",
  execCancelled: "com.mxagent.exec.cancelled.v1",
  streamChunk: "com.mxagent.stream.chunk.v1",
  streamArtifact: "com.mxagent.stream.artifact.v1",
  streamAck: "com.mxagent.stream.ack.v1",
  streamResume: "com.mxagent.stream.resume.v1",
  ptyResize: "com.mxagent.pty.resize.v1",
  callRequest: "com.mxagent.call.request.v1",
  callResponse: "com.mxagent.call.response.v1",
  contextShare: "com.mxagent.context.share.v1",
  approvalRequest: "com.mxagent.approval.request.v1",
  approvalDecision: "com.mxagent.approval.decision.v1",
  heartbeat: "com.mxagent.heartbeat.v1",
  ping: "com.mxagent.ping.v1",
  pong: "com.mxagent.pong.v1",
  invocationQuery: "com.mxagent.invocation.query.v1",
  invocationAnswer: "com.mxagent.invocation.answer.v1",
  inviteProof: "com.mxagent.invite.proof.v1",
  inviteAnswer: "com.mxagent.invite.answer.v1",
  agent: "com.mxagent.agent.v1",
  task: "com.mxagent.task.v1",
  invocation: "com.mxagent.invocation.v1",
  tool: "com.mxagent.tool.v1",
  workspace: "com.mxagent.workspace.v1",
  trust: "com.mxagent.trust.v1",
} as const;

export type EventType = (typeof EventTypes)[keyof typeof EventTypes];

/** What travels as a timeline event, and so belongs into the sync filter. */
export const timelineTypes = [
  EventTypes.execRequest,
  EventTypes.execAccepted,
  EventTypes.execRejected,
  EventTypes.execFinished,
  EventTypes.execStdin,
  EventTypes.execCancel,
  EventTypes.execCancelled,
  EventTypes.streamChunk,
  EventTypes.streamArtifact,
  EventTypes.ptyResize,
  EventTypes.callRequest,
  EventTypes.callResponse,
  EventTypes.contextShare,
  EventTypes.approvalRequest,
  EventTypes.approvalDecision,
  EventTypes.heartbeat,
] as const;

/** What travels to-device. */
export const toDeviceTypes = [
  EventTypes.streamChunk,
  EventTypes.execAccepted,
  EventTypes.execRejected,
  EventTypes.execFinished,
  EventTypes.execStdin,
  EventTypes.ptyResize,
  EventTypes.callResponse,
  EventTypes.streamAck,
  EventTypes.streamResume,
  EventTypes.invocationQuery,
  EventTypes.invocationAnswer,
  EventTypes.ping,
  EventTypes.pong,
  EventTypes.inviteProof,
  EventTypes.inviteAnswer,
] as const;

/** Room state. */
export const stateTypes = [
  EventTypes.agent,
  EventTypes.task,
  EventTypes.invocation,
  EventTypes.tool,
  EventTypes.workspace,
  EventTypes.trust,
] as const;

export type StateEventType = (typeof stateTypes)[number];

/**
 * Not signed as a whole: read from peers of the first protocol, for display, signed in its parts (tasks), or
 * sealed with what is signed inside (invitations). Everything else carries `signature` and `binding`.
 */
const unsignedTypes: ReadonlySet<string> = new Set([
  EventTypes.heartbeat,
  EventTypes.inviteProof,
  EventTypes.inviteAnswer,
  EventTypes.task,
  EventTypes.invocation,
  EventTypes.tool,
  EventTypes.workspace,
  EventTypes.trust,
]);

const known: ReadonlySet<string> = new Set(Object.values(EventTypes));

export function isEventType(type: string): type is EventType {
  return known.has(type);
}

export function isSignedType(type: EventType): boolean {
  return !unsignedTypes.has(type);
}
