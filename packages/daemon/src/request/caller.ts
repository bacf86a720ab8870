/** Our side as the one who asks: requests go out durably, and whoever waits hears what became of them. */
import { rmSync } from "node:fs";
import { errorFromJson, failpoint, type MxError, maskArgv, mxError } from "@mx-agent/base";
import type { CallParams, ExecOutput, ExecParams } from "@mx-agent/ipc";
import { EventTypes, parseContent, requestDigest } from "@mx-agent/protocol";
import type { Identity } from "../identity.ts";
import type { Outbox, Outgoing, Rooms } from "../matrix/api.ts";
import type { Media } from "../matrix/media.ts";
import { ChunkIndex } from "../publish/chunk-index.ts";
import type { Database } from "../state/database.ts";
import type { Request, RequestTable } from "../state/requests.ts";
import { Answers } from "./answers.ts";
import { type Built, buildCall, buildExec } from "./build.ts";
import { Inquiry } from "./inquiry.ts";
import { type OutputWanted, Pending, type PendingLine, type Settled } from "./pending.ts";
import { refuseTooLarge } from "./size.ts";
import { isUnderWay, stdinFile } from "./stdin-files.ts";
import type { ResolvedTarget } from "./target.ts";
import { waitUntil } from "./wait-until.ts";

/** How long after a request's expiry its silence is taken for an answer. */
const GRACE_MS = 5_000;
/** How long the executing side may take to say what became of a request. */
const ANSWER_MS = 5_000;

export interface CallerParts {
  db: Database;
  requests: RequestTable;
  identity: Identity;
  rooms: Rooms;
  outbox: Outbox;
  media: Pick<Media, "download">;
  /** Where chunk boundaries are kept; it is there. */
  indexDir: string;
  /** A request into that room expired, and nobody answered it. */
  onUnanswered(room_id: string): void;
  now(): number;
}

export class Caller {
  readonly #parts: CallerParts;
  /** Several may wait for one invocation: who ran it, and who looks at it from another terminal. */
  readonly #pending = new Map<string, Set<Pending>>();
  readonly #inquiry: Inquiry;
  /** What is heard of them. */
  readonly answers: Answers;

  constructor(parts: CallerParts) {
    this.#parts = parts;
    this.#inquiry = new Inquiry(parts);
    this.answers = new Answers({
      ...parts,
      inquiry: this.#inquiry,
      waiting: (invocation_id) => this.#waiting(invocation_id),
    });
    parts.outbox.onRefused((outgoing, error) => this.#notSent(outgoing, error));
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
  attach(request: Request, emit: PendingLine["emit"], wanted: OutputWanted = "all"): Pending {
    if (isUnderWay(request)) this.#inquiry.ask(request);
    return this.#wait(request, emit, wanted);
  }

  /** Asks what became of one; the answer goes to whoever waits. */
  ask(request: Request): void {
    this.#inquiry.ask(request);
  }

  /** Asks what became of everything that is not known to be over: after a restart, and from a new device. */
  askForAll(): void {
    const { requests, now } = this.#parts;
    for (const request of requests.open()) {
      const { invocation_id, expires_ts } = request;
      if (request.state !== "requested") this.#inquiry.ask(request);
      else
        this.#inquiry.askWhile(
          request,
          () => requests.get(invocation_id)?.state === "requested" && now() < expires_ts,
        );
    }
  }

  /** The outcome, or what the silence means once the request has expired. */
  async outcome(pending: Pending): Promise<Settled> {
    const { request } = pending;
    const { now, requests } = this.#parts;
    for (;;) {
      const deadline = (requests.get(request.invocation_id)?.expires_ts ?? 0) + GRACE_MS;
      if (this.#isHeardOf(pending)) return pending.settled;
      const timer = waitUntil(deadline - now());
      const settled = await Promise.race([pending.settled, timer.done, pending.begun]);
      timer.cancel();
      if (settled === "begun") continue;
      if (settled !== "elapsed") return settled;
      if (this.#isHeardOf(pending) || now() < deadline) continue;
      // That it began may have got lost on its way: it went to-device.
      if ((await this.#hasBegun(pending)) || this.#isHeardOf(pending)) continue;
      const lost = noAnswer(request, now());
      requests.setLost(request.invocation_id, null, null, now());
      this.#parts.onUnanswered(request.room_id);
      throw lost;
    }
  }

  /** Whether it began, or its end is on record, be it that output is still missing. */
  #isHeardOf({ started, request }: Pending): boolean {
    const state = this.#parts.requests.get(request.invocation_id)?.state;
    return started || (state !== "requested" && state !== "held");
  }

  async #hasBegun(pending: Pending): Promise<boolean> {
    this.#inquiry.ask(pending.request);
    const timer = waitUntil(ANSWER_MS);
    const heard = await Promise.race([pending.settled, timer.done, pending.begun]);
    timer.cancel();
    return heard !== "elapsed";
  }

  /** Where the boundaries of a request's input are kept while it is under way. */
  stdinIndex(request: Request): ChunkIndex {
    return new ChunkIndex(stdinFile(this.#parts.indexDir, request.invocation_id));
  }

  release(pending: Pending): void {
    pending.close();
    const { invocation_id } = pending.request;
    const known = this.#parts.requests.get(invocation_id);
    if (!known || !isUnderWay(known)) rmSync(stdinFile(this.#parts.indexDir, invocation_id), { force: true });
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

  /** Whoever waits comes back and asks the next session. */
  close(): void {
    this.#inquiry.close();
    this.answers.close();
    const hint = "log in again: `mx-agent auth login`";
    for (const waiting of this.#pending.values())
      for (const pending of waiting)
        pending.fail(mxError("MX_NOT_RUNNING", { what: "the Matrix session", hint }));
  }

  #waiting(invocation_id: string): Pending[] {
    return [...(this.#pending.get(invocation_id) ?? [])];
  }

  /** A wait for a request whose outcome is on record already gets it; `output` asks for the output as well. */
  replayOutcome(pending: Pending, output: boolean): void {
    const request = this.#parts.requests.get(pending.request.invocation_id);
    if (!request) return;
    const { reason, detail, finished, result, kind } = request;
    if (output) pending.replay();
    if (request.state === "lost") pending.fail(whyLost(request, this.#parts.now()));
    else if (request.state === "rejected" && reason !== null)
      pending.settle({ type: "rejected", reason, detail, origin: "remote" });
    else if (finished !== null && kind === "exec" && output) {
      const parsed = parseContent(EventTypes.execFinished, JSON.parse(finished));
      if (!parsed.ok) return;
      // Nobody may have waited when it came: whether the output is whole is known only now.
      pending
        .finished(parsed.value)
        .then((whole) => this.#parts.requests.setResult(request.invocation_id, whole))
        .catch(() => {});
    } else if (result !== null) pending.settle({ type: "finished", result });
    else if (finished !== null && kind === "call") pending.settleCall(JSON.parse(finished));
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
      outbox.enqueue({
        kind: "event",
        room_id: target.room_id,
        type: built.type,
        content: built.content,
      });
    });
    failpoint("request.after_record");
    const request = requests.get(invocation_id);
    if (!request) throw mxError("MX_INTERNAL", { detail: `request ${invocation_id} was not recorded` });
    return this.#wait(request, emit);
  }

  /** A request that the homeserver refused for good will never be answered; one that was has got there before. */
  #notSent({ type, content }: Outgoing, error: MxError): void {
    if (type !== EventTypes.execRequest && type !== EventTypes.callRequest) return;
    const { requests, now } = this.#parts;
    const { invocation_id }: { invocation_id?: unknown } = content;
    if (typeof invocation_id !== "string" || requests.get(invocation_id)?.state !== "requested") return;
    requests.setLost(invocation_id, error.code, error.message, now());
    for (const pending of this.#waiting(invocation_id)) pending.fail(error);
  }

  #wait(request: Request, emit: PendingLine["emit"], wanted: OutputWanted = "all"): Pending {
    const pending = new Pending(request, this.#line(request, emit), wanted);
    const waiting = this.#pending.get(request.invocation_id);
    if (waiting) waiting.add(pending);
    else this.#pending.set(request.invocation_id, new Set([pending]));
    return pending;
  }

  #line(request: Request, emit: PendingLine["emit"]) {
    const { outbox, identity, requests, now } = this.#parts;
    return {
      emit,
      inquire: () => this.#inquiry.ask(request),
      now,
      media: this.#parts.media,
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
}

function noAnswer(request: Request, now: number): MxError {
  return mxError("MX_NO_ANSWER", {
    agent: request.agent,
    room: request.room_id,
    seconds: Math.round(((request.ended_ts ?? now) - request.created_ts) / 1000),
  });
}

/** For whoever asks later. */
function whyLost(request: Request, now: number): MxError {
  const { reason, detail } = request;
  return errorFromJson({ code: reason, message: detail, hint: "" }) ?? noAnswer(request, now);
}
