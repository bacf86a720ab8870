/** What the requester hears of a decision. All of it goes through the durable outbox, in the caller's transaction. */

import { maskArgv } from "@mx-agent/base";
import { EventTypes, MAX_REQUEST_LIFETIME_MS, type Reason, requestDigest } from "@mx-agent/protocol";
import type { RunRequest } from "../admit/admitted.ts";
import type { Identity } from "../identity.ts";
import type { IncomingEvent, Outbox, Outgoing } from "../matrix/api.ts";

interface Line {
  identity: Identity;
  outbox: Outbox;
  now(): number;
}

/** Characters: JSON writes six bytes for some, and it is sent twice. */
const MAX_SUMMARY = 4_000;

export interface RefusedRequest {
  request: RunRequest;
  reason: Reason;
  hint: string | null;
}

/**
 * Every answer carries the digest of the request that it answers: ids can be read by everybody in the room, and one
 * that somebody else used first must not get his answer taken for ours.
 */

/** `exec.rejected`, or `call.response` with the reason as its code. Never which rule of the policy it was. */
export function answerRefused(event: IncomingEvent, refused: RefusedRequest, line: Line): void {
  const { request, reason, hint } = refused;
  if (request.kind === "exec") {
    const { invocation_id } = request.content;
    const content = {
      invocation_id,
      reason,
      ...(hint === null ? {} : { detail: hint }),
      request_sha256: requestDigest(request.content),
    };
    const room_id = event.room_id ?? "";
    sendEvent(room_id, EventTypes.execRejected, content, line);
    // Whose key was revoked reads nothing in an encrypted room any more; that he is refused he is told all the same.
    const { reply } = request.content;
    const to = { room_id, user_id: event.sender };
    if (reply) sendToDevice({ ...to, ...reply }, EventTypes.execRejected, content, line);
    return;
  }
  const content = {
    request_id: request.content.request_id,
    ok: false,
    result: null,
    error: hint ?? reason,
    code: reason,
    request_sha256: requestDigest(request.content),
  };
  answerCall(event, request.content.reply, content, line);
}

/** A `call.response`, in the timeline and, where the request asked for it, to the requester's device as well. */
export function answerCall(
  event: IncomingEvent,
  reply: { device_id: string } | undefined,
  content: object,
  line: Line,
): void {
  sendEvent(event.room_id ?? "", EventTypes.callResponse, content, line);
  if (reply)
    sendToDevice(
      { room_id: event.room_id ?? "", user_id: event.sender, ...reply },
      EventTypes.callResponse,
      content,
      line,
    );
}

/** Asks the approvers; answers until when the request is held, milliseconds since the epoch. */
export function answerHeld(
  event: IncomingEvent,
  held: { request: RunRequest; approvers: string[] },
  line: Line,
): number {
  const { content } = held.request;
  const expires_ts = Math.min(Date.parse(content.expires_at), line.now() + MAX_REQUEST_LIFETIME_MS);
  const summary = summaryOf(held.request);
  sendEvent(
    event.room_id ?? "",
    EventTypes.approvalRequest,
    {
      request_id: content.request_id,
      invocation_id: content.invocation_id,
      requester: content.requesting_agent ?? event.sender,
      target: content.target_agent ?? "",
      summary,
      risk: "requires approval",
      expires_at: new Date(expires_ts).toISOString(),
      request_sha256: requestDigest(content),
    },
    line,
  );
  // Ordinary clients render no event types of ours; a person has to see this.
  const body = `${content.requesting_agent ?? event.sender} asks ${content.target_agent ?? "this machine"} to run: ${summary} (request ${content.request_id}, waits until ${new Date(expires_ts).toISOString()})`;
  line.outbox.enqueue({
    kind: "event",
    room_id: event.room_id ?? "",
    type: "m.room.message",
    content: { msgtype: "m.notice", body },
  });
  return expires_ts;
}

/** What is asked for, as a person reads it; what an event has no room for is left out, and that is said. */
function summaryOf({ kind, content }: RunRequest): string {
  const whole = kind === "exec" ? maskArgv(content.command).join(" ") : `tool ${content.tool}`;
  if (whole.length <= MAX_SUMMARY) return whole;
  return `${whole.slice(0, MAX_SUMMARY).toWellFormed()}… (${whole.length} characters in all)`;
}

export function sendEvent(room_id: string, type: string, content: object, line: Line): void {
  line.outbox.enqueue({ kind: "event", room_id, type, content: line.identity.sign(room_id, type, content) });
}

/** A copy that may get lost: what must arrive goes through the timeline beside it, or is asked for again. */
export function sendToDevice(
  to: { room_id: string; user_id: string; device_id: string },
  type: string,
  content: object,
  line: Pick<Line, "identity" | "outbox">,
): void {
  const message: Outgoing = {
    kind: "to_device",
    room_id: to.room_id,
    user_id: to.user_id,
    device_id: to.device_id,
    type,
    content: line.identity.sign(to.room_id, type, content),
  };
  line.outbox.enqueue(message, { volatile: true });
}
