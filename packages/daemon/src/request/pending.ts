import type { MxError } from "@mx-agent/base";
import type { ExecOutput, InvocationResult } from "@mx-agent/ipc";
import { EventTypes, type ExecFinished, newNonce, parseContent } from "@mx-agent/protocol";
import type { IncomingEvent } from "../matrix/api.ts";
import type { Media } from "../matrix/media.ts";
import type { Request } from "../state/requests.ts";
import { Artifacts } from "./artifacts.ts";
import { Patience } from "./patience.ts";
import { StdinSender } from "./stdin-sender.ts";
import { StreamReceiver } from "./stream-receiver.ts";

/** How long no output has come when it is taken to be all that there is so far. */
const QUIET_MS = 2_000;

export type Settled =
  | { type: "finished"; result: InvocationResult }
  | { type: "rejected"; reason: string; detail: string | null; origin: "local" | "remote" }
  | { type: "response"; ok: boolean; result: unknown; error: string | null; code: string | null };

/**
 * Which output whoever waits wants: all of it, also from a machine that is away for a while; what can be had now; or none,
 * but the end.
 */
export type OutputWanted = "all" | "there" | "none";

export interface PendingLine {
  /** Sends a signed message to the executing side: to its device where it is known, else into the room. */
  tell(type: string, content: object): void;
  /** Asks the executing side what became of it; from then on what it sends comes to this device. */
  inquire(): void;
  /** One output item for whoever waits, for output with its time on the other side; resolves when he can take more. */
  emit(item: ExecOutput, timestamp?: string): Promise<void>;
  now(): number;
  /** Where a daemon of the first protocol puts large output. */
  media: Pick<Media, "download">;
}

/** An answer that is awaited: what arrives is put together here until the outcome is whole. */
export class Pending {
  readonly request: Request;
  readonly stdin: StdinSender;
  readonly settled: Promise<Settled>;
  readonly #line: PendingLine;
  readonly #streams: Record<"stdout" | "stderr", StreamReceiver>;
  readonly #artifacts: Artifacts;
  #settle: (outcome: Settled) => void = () => {};
  #fail: (error: MxError) => void = () => {};
  /** Resolves when the other side was heard to have begun. */
  readonly begun: Promise<"begun">;
  #begin: (begun: "begun") => void = () => {};
  #started = false;
  readonly #patience: Patience;
  readonly #forgotten = Promise.withResolvers<void>();
  #isForgotten = false;
  readonly #wanted: OutputWanted;

  constructor(request: Request, line: PendingLine, wanted: OutputWanted = "all") {
    this.request = request;
    this.#line = line;
    this.#wanted = wanted;
    this.#patience = new Patience({ waits: wanted === "all" });
    this.settled = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
    });
    // Nobody may wait for it: the request may have been left running.
    this.settled.catch(() => {});
    this.begun = new Promise((resolve) => {
      this.#begin = resolve;
    });
    this.#streams = { stdout: this.#receiver("stdout"), stderr: this.#receiver("stderr") };
    this.#artifacts = new Artifacts({
      room_id: request.room_id,
      media: line.media,
      deliver: (stream, bytes) => line.emit(chunkItem(stream, bytes)),
    });
    const { invocation_id } = request;
    this.stdin = new StdinSender({
      send: (chunk) => line.tell(EventTypes.execStdin, { invocation_id, ...chunk }),
      now: line.now,
      elapsed: () => performance.now(),
    });
  }

  /** Whether the other side was heard to have begun. */
  get started(): boolean {
    return this.#started;
  }

  accepted(): void {
    if (this.#started) return;
    this.#started = true;
    this.#begin("begun");
    this.#say({ type: "accepted" });
  }

  held(summary: string, expires_at: string): void {
    this.#say({ type: "held", summary, expires_at });
  }

  /** The executing side answered a question about it. */
  heard(): void {
    this.#patience.heard();
  }

  /** The executing side has pruned it: output that has not come by now does not come. */
  forgotten(): void {
    this.#isForgotten = true;
    this.#forgotten.resolve();
  }

  /** A verified stream message: a chunk of output, or an acknowledgement of stdin. */
  stream(event: Pick<IncomingEvent, "type" | "content">): void {
    this.heard();
    if (event.type === EventTypes.streamChunk) {
      const parsed = parseContent(EventTypes.streamChunk, event.content);
      if (!parsed.ok) return;
      const { stream } = parsed.value;
      if (stream !== "stdout" && stream !== "stderr") return;
      this.accepted();
      this.#streams[stream].push(parsed.value);
    } else if (event.type === EventTypes.streamAck) {
      const parsed = parseContent(EventTypes.streamAck, event.content);
      if (parsed.ok && parsed.value.stream === "stdin")
        this.stdin.ack(parsed.value.next_seq, parsed.value.window_bytes);
    } else if (event.type === EventTypes.streamArtifact) {
      const parsed = parseContent(EventTypes.streamArtifact, event.content);
      if (!parsed.ok) return;
      this.accepted();
      this.#artifacts.take(parsed.value);
    } else if (event.type === EventTypes.streamResume) {
      const parsed = parseContent(EventTypes.streamResume, event.content);
      if (parsed.ok && parsed.value.stream === "stdin") this.stdin.resume(parsed.value.from_seq);
    }
  }

  /** The run has ended: waits for output that is still under way, asks for what is missing, checks the digests. */
  async finished(content: ExecFinished): Promise<InvocationResult> {
    this.stdin.close();
    const numbered = content.stdout_chunks !== undefined && content.stderr_chunks !== undefined;
    const expected = numbered && this.#wanted !== "none";
    if (content.stdout_chunks !== undefined) this.#streams.stdout.expect(content.stdout_chunks);
    if (content.stderr_chunks !== undefined) this.#streams.stderr.expect(content.stderr_chunks);
    if (expected) await this.#complete();
    const fetched = await this.#artifacts.settled();
    const result = this.#result(content, expected, fetched);
    this.#settle({ type: "finished", result });
    return result;
  }

  settle(outcome: Settled): void {
    this.#settle(outcome);
  }

  /** The content of a `call.response`; one that makes no sense settles nothing. */
  settleCall(content: unknown): void {
    const parsed = parseContent(EventTypes.callResponse, content);
    if (!parsed.ok) return;
    const { ok, result, error, code = null } = parsed.value;
    this.settle({ type: "response", ok, result, error, code });
  }

  /** There will be no outcome. */
  fail(error: MxError): void {
    this.#fail(error);
  }

  /** Asks for the output from its beginning: for a reader that comes later. */
  replay(): void {
    this.#streams.stdout.askAgain();
    this.#streams.stderr.askAgain();
  }

  /** Resolves when no output has come for a while: for a reader that does not wait for the end. */
  async quiet(): Promise<null> {
    const { stdout, stderr } = this.#streams;
    for (let seen = -1; seen !== stdout.progress + stderr.progress; ) {
      seen = stdout.progress + stderr.progress;
      await delay(QUIET_MS);
    }
    return null;
  }

  cancel(reason: string): void {
    const { invocation_id } = this.request;
    const created_at = new Date(this.#line.now()).toISOString();
    this.#line.tell(EventTypes.execCancel, { invocation_id, reason, created_at, nonce: newNonce() });
  }

  close(): void {
    this.stdin.close();
    this.#streams.stdout.close();
    this.#streams.stderr.close();
  }

  /** News for whoever waits; he may have gone. */
  #say(item: ExecOutput): void {
    this.#line.emit(item).catch(() => {});
  }

  #receiver(stream: "stdout" | "stderr"): StreamReceiver {
    const { invocation_id } = this.request;
    return new StreamReceiver({
      deliver: (bytes, timestamp) => this.#line.emit(chunkItem(stream, bytes), timestamp),
      ack: (next_seq, window_bytes) =>
        this.#line.tell(EventTypes.streamAck, { invocation_id, stream, next_seq, window_bytes }),
      resume: (from_seq) => this.#line.tell(EventTypes.streamResume, { invocation_id, stream, from_seq }),
    });
  }

  /** Waits for the ends of both streams and asks for what is missing, as long as there is reason to. */
  async #complete(): Promise<void> {
    const streams = Object.values(this.#streams);
    const progress = () => streams.reduce((sum, stream) => sum + stream.progress, 0);
    const arrivals = () => streams.reduce((sum, stream) => sum + stream.arrivals, 0);
    const patience = this.#patience;
    let [asked, said] = [false, false];
    while (!patience.exhausted) {
      const open = streams.filter(({ ended }) => !ended);
      if (open.length === 0 || this.#left()) return;
      if (this.#isForgotten && !open.some(({ busy }) => busy)) return;
      const [before, arrived] = [progress(), arrivals()];
      const news = this.#isForgotten ? [] : [this.#forgotten.promise];
      await Promise.race([...open.map((stream) => stream.changed()), ...news, delay(patience.pause)]);
      if (this.#isForgotten) continue;
      if (progress() !== before) {
        patience.moved();
        continue;
      }
      // What a slow reader has not taken yet is not missing.
      const missing = open.filter(({ ended, busy }) => !ended && !busy);
      if (missing.length === 0 || this.#left()) continue;
      // On a slow line it is behind what comes twice: each question would bring more of that.
      if (asked && arrivals() !== arrived) {
        patience.slow();
        continue;
      }
      if (asked) patience.waited();
      if (patience.away && !said) {
        said = true;
        this.#say({ type: "away" });
      }
      asked = true;
      // What it sends comes to this device from now on, and its answer tells that it is there.
      if (this.request.legacy) this.heard();
      else this.#line.inquire();
      for (const stream of missing) stream.askAgain();
    }
  }

  /** Whether nobody takes the output any more. */
  #left(): boolean {
    return this.#streams.stdout.closed || this.#streams.stderr.closed;
  }

  #result(content: ExecFinished, expected: boolean, fetched: boolean): InvocationResult {
    const { stdout, stderr } = this.#streams;
    const matches = (stream: StreamReceiver, digest: string | undefined) =>
      stream.ended && (digest === undefined || stream.digest() === digest);
    const whole = matches(stdout, content.stdout_sha256) && matches(stderr, content.stderr_sha256);
    return {
      outcome: content.outcome ?? (content.signal === null ? "exited" : "signaled"),
      exit_code: content.exit_code,
      signal: content.signal,
      duration_ms: content.duration_ms,
      stdout_bytes: content.stdout_bytes,
      stderr_bytes: content.stderr_bytes,
      // What an artifact holds was not cut off.
      truncated: content.truncated && content.artifact_mxc === null,
      // Who left before all had come does not know.
      complete: expected ? whole || (this.#left() ? null : false) : fetched ? null : false,
    };
  }
}

function chunkItem(stream: "stdout" | "stderr", bytes: Uint8Array): ExecOutput {
  return { type: "chunk", stream, data: Buffer.from(bytes).toString("base64") };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
