/**
 * Our side as the one who asks: requests go out durably, answers count only from the Matrix user, key and
 * device that was asked, and everything else is dropped and counted (PROTOCOL.md, "What happens, in order").
 */
import { failpoint, maskArgv, mxError } from "@mx-agent/base";
import type { CallParams, ExecOutput, ExecParams, InvocationResult } from "@mx-agent/ipc";
import {
  decodePublicKey,
  EventTypes,
  type ExecFinished,
  parseContent,
  requestDigest,
} from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { IncomingEvent, Outbox, Rooms } from "../matrix/api.ts";
import { isFrom } from "../receive/verify.ts";
import type { Database } from "../state/database.ts";
import type { Request, RequestTable } from "../state/requests.ts";
import { type Built, buildCall, buildExec } from "./build.ts";
import { Pending, type Settled } from "./pending.ts";
import { refuseTooLarge } from "./size.ts";
import type { ResolvedTarget } from "./target.ts";
import { waitUntil } from "./wait-until.ts";

/** How long after a request's expiry its silence is taken for an answer. */
const GRACE_MS = 5_000;

const ANSWERS = new Set<string>([
  EventTypes.execAccepted,
  EventTypes.execRejected,
  EventTypes.execFinished,
  EventTypes.approvalRequest,
  EventTypes.callResponse,
]);

/** What of an invocation is taken from whichever device of that user and key it comes. */
const NAMES_THE_DEVICE = new Set<string>([EventTypes.execAccepted, EventTypes.execFinished]);

export interface CallerParts {
  db: Database;
  requests: RequestTable;
  identity: Identity;
  rooms: Rooms;
  outbox: Outbox;
  now(): number;
}

export class Caller {
  readonly #parts: CallerParts;
  /** Several may wait for one invocation: who ran it, and who looks at it from another terminal. */
  readonly #pending = new Map<string, Set<Pending>>();
  #dropped = 0;

  constructor(parts: CallerParts) {
    this.#parts = parts;
  }

  /** Results that were not from whom was asked. */
  get dropped(): number {
    return this.#dropped;
  }

  exec(params: ExecParams, target: ResolvedTarget, emit: (item: ExecOutput) => Promise<void>): Pending {
    const { identity, now } = this.#parts;
    const built = buildExec(params, target, identity, now());
    return this.#send("exec", built, target, maskArgv(params.command).join(" "), emit);
  }

  call(
    params: CallParams,
    target: ResolvedTarget,
    emit: (item: Extract<ExecOutput, { type: "requested" }>) => Promise<void>,
  ): Pending {
    const { identity, now } = this.#parts;
    const built = buildCall(params, target, identity, now());
    return this.#send("call", built, target, `tool ${params.tool}`, async (item) => {
      if (item.type === "requested") await emit(item);
    });
  }

  /** The wait for a request of ours that somebody else began, or that this daemon took up after a restart. */
  attach(request: Request, emit: (item: ExecOutput) => Promise<void>): Pending {
    return this.#wait(request, emit);
  }

  /** The outcome, or what the silence means once the request has expired. */
  async outcome(pending: Pending): Promise<Settled> {
    const { request } = pending;
    const { now, requests } = this.#parts;
    for (;;) {
      const deadline = (requests.get(request.invocation_id)?.expires_ts ?? 0) + GRACE_MS;
      const state = requests.get(request.invocation_id)?.state;
      const waits = !pending.started && (state === "requested" || state === "held");
      if (!waits) return pending.settled;
      const timer = waitUntil(deadline - now());
      const settled = await Promise.race([pending.settled, timer.done, pending.begun]);
      timer.cancel();
      if (settled === "begun") continue;
      if (settled !== "elapsed") return settled;
      if (pending.started) continue;
      requests.setState(request.invocation_id, "lost");
      throw mxError("MX_NO_ANSWER", {
        agent: request.agent,
        room: request.room_id,
        seconds: Math.round((now() - request.created_ts) / 1000),
      });
    }
  }

  release(pending: Pending): void {
    pending.close();
    const { invocation_id } = pending.request;
    const waiting = this.#pending.get(invocation_id);
    waiting?.delete(pending);
    if (waiting?.size === 0) this.#pending.delete(invocation_id);
  }

  cancel(request: Request, reason: string): void {
    const [pending] = this.#waiting(request.invocation_id);
    if (pending) pending.cancel(reason);
    else {
      const one = new Pending(
        request,
        this.#line(request, async () => {}),
      );
      one.cancel(reason);
      one.close();
    }
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

  #waiting(invocation_id: string): Pending[] {
    return [...(this.#pending.get(invocation_id) ?? [])];
  }

  #take(event: IncomingEvent, request: Request): void {
    const { requests, now } = this.#parts;
    const { invocation_id } = request;
    const waiting = this.#waiting(invocation_id);
    switch (event.type) {
      case EventTypes.execAccepted: {
        const parsed = parseContent(EventTypes.execAccepted, event.content);
        if (!parsed.ok || isOver(request)) return;
        requests.setState(invocation_id, "running");
        for (const pending of waiting) pending.accepted();
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
        const parsed = parseContent(EventTypes.callResponse, event.content);
        if (!parsed.ok) return;
        const { ok, result, error, code = null } = parsed.value;
        if (!requests.setFinished(invocation_id, JSON.stringify(event.content), null, now())) return;
        for (const pending of waiting) pending.settle({ type: "response", ok, result, error, code });
        return;
      }
      default:
        for (const pending of waiting) pending.stream(event);
    }
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

  /** A wait for a request whose outcome is on record already gets it; `output` asks for the output as well. */
  replayOutcome(pending: Pending, output: boolean): void {
    const request = this.#parts.requests.get(pending.request.invocation_id);
    if (!request) return;
    const { reason, detail, finished, result, kind } = request;
    if (output) pending.replay();
    if (request.state === "rejected" && reason !== null)
      pending.settle({ type: "rejected", reason, detail, origin: "remote" });
    else if (finished !== null && kind === "exec" && output) {
      const parsed = parseContent(EventTypes.execFinished, JSON.parse(finished));
      if (parsed.ok) pending.finished(parsed.value).catch(() => {});
    } else if (result !== null) pending.settle({ type: "finished", result });
  }

  #send(
    kind: "exec" | "call",
    built: Built,
    target: ResolvedTarget,
    summary: string,
    emit: (item: ExecOutput) => Promise<void>,
  ): Pending {
    const { db, requests, outbox, now } = this.#parts;
    const { invocation_id, request_id, expires_ts } = built;
    refuseTooLarge(built.content);
    // Named before it is recorded: whoever waits can ask the next daemon what became of it, or that it never was.
    emit({ type: "requested", invocation_id, request_id }).catch(() => {});
    const row = {
      invocation_id,
      request_id,
      kind,
      room_id: target.room_id,
      agent: target.agent,
      target_user: target.user_id,
      target_key_id: target.key_id,
      public_key: target.public_key,
      legacy: target.legacy,
      requesting_agent: target.requesting_agent,
      summary,
      request_sha256: requestDigest(built.content),
      created_ts: now(),
      expires_ts,
    };
    failpoint("request.before_record");
    db.transaction(() => {
      requests.insert(row);
      outbox.enqueue({ kind: "event", room_id: target.room_id, type: built.type, content: built.content });
    });
    failpoint("request.after_record");
    const request = requests.get(invocation_id);
    if (!request) throw mxError("MX_INTERNAL", { detail: `request ${invocation_id} was not recorded` });
    return this.#wait(request, emit);
  }

  #wait(request: Request, emit: (item: ExecOutput) => Promise<void>): Pending {
    const pending = new Pending(request, this.#line(request, emit));
    const waiting = this.#pending.get(request.invocation_id);
    if (waiting) waiting.add(pending);
    else this.#pending.set(request.invocation_id, new Set([pending]));
    return pending;
  }

  #line(request: Request, emit: (item: ExecOutput) => Promise<void>) {
    const { outbox, identity, requests, now } = this.#parts;
    return {
      emit,
      now,
      tell: (type: string, content: object) => {
        const device_id = requests.get(request.invocation_id)?.target_device;
        const signed = identity.sign(request.room_id, type, content);
        // A cancel must arrive, so it goes through the durable timeline; a device is named by `accepted`.
        if (type === EventTypes.execCancel || (type === EventTypes.execStdin && !device_id))
          outbox.enqueue({ kind: "event", room_id: request.room_id, type, content: signed });
        else if (device_id)
          outbox.enqueue(
            {
              kind: "to_device",
              room_id: request.room_id,
              user_id: request.target_user,
              device_id,
              type,
              content: signed,
            },
            { volatile: true },
          );
      },
    };
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
  const { exit_code, signal, duration_ms, stdout_bytes, stderr_bytes, truncated } = content;
  const outcome = content.outcome ?? (signal === null ? "exited" : "signaled");
  return { outcome, exit_code, signal, duration_ms, stdout_bytes, stderr_bytes, truncated, complete: null };
}
