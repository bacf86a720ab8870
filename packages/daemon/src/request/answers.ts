/**
 * What is taken for an answer: one from the Matrix user, key and device that was asked, to that very request. Everything
 * else is dropped and counted (PROTOCOL.md, "What happens, in order").
 */
import { failpoint, mxError } from "@mx-agent/base";
import type { InvocationResult } from "@mx-agent/ipc";
import { decodePublicKey, EventTypes, type ExecFinished, parseContent } from "@mx-agent/protocol";
import type { IncomingEvent, Rooms } from "../matrix/api.ts";
import { isFrom } from "../receive/verify.ts";
import type { Request, RequestTable } from "../state/requests.ts";
import type { Inquiry } from "./inquiry.ts";
import type { Pending } from "./pending.ts";

const ANSWERS = new Set<string>([
  EventTypes.execAccepted,
  EventTypes.execRejected,
  EventTypes.execFinished,
  EventTypes.approvalRequest,
  EventTypes.callResponse,
]);

/** What of an invocation is taken from whichever device of that user and key it comes. */
const NAMES_THE_DEVICE = new Set<string>([
  EventTypes.execAccepted,
  EventTypes.execFinished,
  EventTypes.invocationAnswer,
]);

/** How long the end of a run that is forgotten where it ran may still be on its way through the room. */
const STILL_COMING_MS = 5_000;

export interface AnswerParts {
  requests: RequestTable;
  rooms: Rooms;
  now(): number;
  inquiry: Inquiry;
  /** Who waits for that invocation. */
  waiting(invocation_id: string): Pending[];
}

/** The way of an answer: to its request, verified, on record, to whoever waits. */
export class Answers {
  readonly #parts: AnswerParts;
  #dropped = 0;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** Results that were not from whom was asked. */
  get dropped(): number {
    return this.#dropped;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  /** An event that may be an answer. Answers whether it was one of a request of ours. */
  async onEvent(event: IncomingEvent): Promise<boolean> {
    const request = this.#requestOf(event);
    if (!request) return false;
    if (!this.#fromTarget(event, request) || !answersRequest(event, request)) {
      this.#dropped++;
      return true;
    }
    this.#learnDevice(event, request);
    this.#take(event, request);
    return true;
  }

  #take(event: IncomingEvent, request: Request): void {
    const { requests, now } = this.#parts;
    const { invocation_id } = request;
    const waiting = this.#parts.waiting(invocation_id);
    switch (event.type) {
      case EventTypes.execAccepted:
        if (parseContent(EventTypes.execAccepted, event.content).ok) this.#begun(request, waiting);
        return;
      case EventTypes.invocationAnswer: {
        const parsed = parseContent(EventTypes.invocationAnswer, event.content);
        if (!parsed.ok || !this.#parts.inquiry.isAnswer(invocation_id, parsed.value.nonce)) return;
        for (const pending of waiting) pending.heard();
        // What is over is followed by the event that says how.
        const { state } = parsed.value;
        if (state === "unknown") this.#unknown(request, waiting);
        else if (state === "accepted" || state === "running") this.#begun(request, waiting);
        return;
      }
      case EventTypes.approvalRequest: {
        const parsed = parseContent(EventTypes.approvalRequest, event.content);
        if (!parsed.ok || isOver(request)) return;
        requests.setState(invocation_id, "held");
        for (const pending of waiting) pending.held(parsed.value.summary, parsed.value.expires_at);
        return;
      }
      case EventTypes.execRejected: {
        const parsed = parseContent(EventTypes.execRejected, event.content);
        if (!parsed.ok || isOver(request)) return;
        const { reason, detail = null } = parsed.value;
        requests.setRejected(invocation_id, reason, detail, now());
        for (const pending of waiting) pending.settle({ type: "rejected", reason, detail, origin: "remote" });
        return;
      }
      case EventTypes.execFinished:
        this.#finished(event, request, waiting);
        return;
      case EventTypes.callResponse: {
        if (!parseContent(EventTypes.callResponse, event.content).ok) return;
        if (!requests.setFinished(invocation_id, JSON.stringify(event.content), null, now())) return;
        for (const pending of waiting) pending.settleCall(event.content);
        return;
      }
      default:
        for (const pending of waiting) pending.stream(event);
    }
  }

  /**
   * The executing side has no record of it. What it once had it has pruned; what it never had may still be on its way
   * there, and has an expiry of its own.
   */
  #unknown({ invocation_id, state }: Request, waiting: Pending[]): void {
    if (state === "ended") for (const pending of waiting) pending.forgotten();
    if (state !== "running" && state !== "held") return;
    // How it ended is in the room, and may be behind this on its way.
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#forgotten(invocation_id);
    }, STILL_COMING_MS).unref();
    this.#timers.add(timer);
  }

  #forgotten(invocation_id: string): void {
    const { requests, now, waiting } = this.#parts;
    const request = requests.get(invocation_id);
    if (request?.state !== "running" && request?.state !== "held") return;
    const error = mxError("MX_FORGOTTEN", { agent: request.agent, invocation_id });
    requests.setLost(invocation_id, error.code, error.message, now());
    for (const pending of waiting(invocation_id)) pending.fail(error);
  }

  #begun(request: Request, waiting: Pending[]): void {
    if (isOver(request)) return;
    this.#parts.requests.setState(request.invocation_id, "running");
    for (const pending of waiting) pending.accepted();
  }

  /** The first valid copy counts; the output may still be under way, so nothing waits for it here. */
  #finished(event: IncomingEvent, request: Request, waiting: Pending[]): void {
    const { requests, now } = this.#parts;
    const parsed = parseContent(EventTypes.execFinished, event.content);
    if (!parsed.ok) return;
    const outcome = summaryOf(parsed.value);
    failpoint("request.before_finished");
    if (!requests.setFinished(request.invocation_id, JSON.stringify(event.content), outcome, now())) return;
    failpoint("request.after_finished");
    for (const pending of waiting)
      pending
        .finished(parsed.value)
        .then((result) => requests.setResult(request.invocation_id, result))
        .catch(() => {});
  }

  /**
   * Verified answers name the device that executes; streams have to come from it. `accepted` and `finished` carry the
   * key's word for it, so they may name another one: after a new login the run goes on there.
   */
  #learnDevice(event: IncomingEvent, request: Request): void {
    if (request.target_device !== null && !NAMES_THE_DEVICE.has(event.type)) return;
    if (typeof event.content !== "object" || event.content === null) return;
    const { binding }: { binding?: { device_id?: unknown } } = event.content;
    if (typeof binding?.device_id === "string" && binding.device_id !== request.target_device)
      this.#parts.requests.setDevice(request.invocation_id, binding.device_id);
  }

  #requestOf(event: IncomingEvent): Request | undefined {
    const { content } = event;
    if (typeof content !== "object" || content === null) return undefined;
    const ids: { invocation_id?: unknown; request_id?: unknown } = content;
    const { requests } = this.#parts;
    if (event.type === EventTypes.callResponse)
      return typeof ids.request_id === "string" ? requests.byRequest(ids.request_id) : undefined;
    return typeof ids.invocation_id === "string" ? requests.get(ids.invocation_id) : undefined;
  }

  #fromTarget(event: IncomingEvent, request: Request): boolean {
    const public_key = decodePublicKey(request.public_key);
    if (!public_key || !this.#parts.rooms.isJoined(request.room_id, event.sender)) return false;
    const expected = {
      room_id: request.room_id,
      user_id: request.target_user,
      key_id: request.target_key_id,
      public_key,
      legacy: request.legacy,
      device_id: NAMES_THE_DEVICE.has(event.type) ? null : request.target_device,
    };
    return isFrom(event, expected, this.#parts.rooms.get(request.room_id)?.encrypted ?? false);
  }
}

/**
 * Whether an answer is to that very request: it carries its digest. A key of the first protocol sends none, and
 * stream messages belong to the run that an answer was to.
 */
function answersRequest(event: IncomingEvent, request: Request): boolean {
  const { request_sha256 }: { request_sha256?: unknown } = Object(event.content);
  if (request_sha256 === undefined) return request.legacy || !ANSWERS.has(event.type);
  return request_sha256 === request.request_sha256;
}

function isOver(request: Request): boolean {
  return request.state === "ended" || request.state === "rejected";
}

function summaryOf(content: ExecFinished): InvocationResult {
  const { exit_code, signal, duration_ms, stdout_bytes, stderr_bytes } = content;
  // What an artifact holds was not cut off.
  const truncated = content.truncated && content.artifact_mxc === null;
  const outcome = content.outcome ?? (signal === null ? "exited" : "signaled");
  return { outcome, exit_code, signal, duration_ms, stdout_bytes, stderr_bytes, truncated, complete: null };
}
