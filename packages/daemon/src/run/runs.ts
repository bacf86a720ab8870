import { setTimeout as pause } from "node:timers/promises";
import { failpoint, MxError, toMxError } from "@mx-agent/base";
import { EventTypes, requestDigest } from "@mx-agent/protocol";
import type { RunEnd, RunnerClient, RunSpec, RunState } from "@mx-agent/runner";
import type { Logger } from "pino";
import type { Admitted } from "../admit/admitted.ts";
import { shape } from "../admit/checks/shape.ts";
import { sendEvent, sendToDevice } from "../publish/answers.ts";
import { BehindOutput } from "../publish/behind-output.ts";
import { showEnded, showRunning } from "../publish/display.ts";
import { publishOutcome, publishSpawnFailure } from "../publish/outcome.ts";
import type { Execution } from "../state/executions.ts";
import { callOutput } from "./call-output.ts";
import type { ControlChannel } from "./control.ts";
import { eventOf } from "./event-of.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import { LINGER_MS, type LiveRun, LiveRuns } from "./live-runs.ts";
import { nothingRan } from "./nothing-ran.ts";
import { replyOf } from "./reply.ts";
import { type SpecContext, specOf } from "./spec.ts";

/** Who sends no input hears of the beginning this much later: of a shorter run the end says as much. */
const ACCEPT_AFTER_MS = 25;

/** `finished` tells where the streams end; who has not acknowledged that by then is sent the markers as well. */
const MARKERS_AFTER_MS = 500;

/** A run of more than this is shown in the room's state. */
const SHOW_AFTER_MS = 10_000;

/** How long the last output may take to be read from the spool before the outcome is recorded. */
const SETTLE_MS = 2_000;
/** What could not be written, for a full disk, is written when there is room again. */
const RECORD_AGAIN_MS = 2_000;

/** The runs of this daemon: starts them, sends what they say, takes what they are told, and records their end. */
export class Runs {
  readonly #world: ExecutorWorld;
  readonly #runner: RunnerClient;
  readonly #context: SpecContext & { indexDir: string };
  readonly #logger: Logger;
  readonly #live: LiveRuns;
  readonly #behind: BehindOutput;
  #closed = false;
  /** Runs that no runner had seen, and that go back to being admitted. */
  readonly #again = new Set<string>();
  readonly #cancelled = new Set<string>();
  /** Runs whose outcome is being recorded: each has one. */
  readonly #finishing = new Set<string>();

  constructor(
    world: ExecutorWorld,
    runner: RunnerClient,
    context: SpecContext & { indexDir: string },
    logger: Logger,
  ) {
    this.#world = world;
    this.#runner = runner;
    this.#context = context;
    this.#logger = logger;
    this.#behind = new BehindOutput(world);
    this.#live = new LiveRuns(world, runner, context.indexDir, (run_id) => this.cancel(run_id), logger);
    runner.on("output", (run_id, stream, bytes) => this.#live.get(run_id)?.publisher?.output(stream, bytes));
    runner.on("ended", (run_id, end) => this.#ended(run_id, end));
  }

  /** Starts what was admitted. One commit makes all of it `starting`, durably, before any is: none is started twice. */
  async start(admitted: readonly Admitted[]): Promise<void> {
    const ready = admitted.flatMap((one) => this.#ready(one) ?? []);
    failpoint("run.before_starting");
    this.#world.db.transaction(() => {
      for (const { execution } of ready) this.#world.executions.setState(execution.run_id, "starting");
    });
    failpoint("run.after_starting");
    await Promise.all(
      ready.map(({ execution, spec }) =>
        this.#launch(execution, spec).catch((error: unknown) => {
          const { invocation_id } = execution;
          this.#logger.error({ err: error, invocation_id }, "a run could not be handed to the runner");
        }),
      ),
    );
  }

  /** undefined: it was started, or ended, before it could be. */
  #ready(admitted: Admitted): { execution: Execution; spec: RunSpec } | undefined {
    const execution = this.#world.executions.byInvocation(admitted.request.content.invocation_id);
    if (execution?.state !== "admitted") return undefined;
    const { run_id } = execution;
    if (!this.#cancelled.has(run_id) && !this.#finishing.has(run_id))
      return { execution, spec: specOf(run_id, admitted, this.#context) };
    this.#ended(run_id, nothingRan("cancelled", this.#world.now()));
    return undefined;
  }

  async #launch(execution: Execution, spec: RunSpec): Promise<void> {
    const { executions, now } = this.#world;
    const state = await this.#begin(execution, spec).catch((error: unknown) =>
      this.#notStarted(execution, error),
    );
    failpoint("run.after_start");
    if (state.end) return this.#ended(execution.run_id, state.end);
    executions.setStarted(execution.run_id, now());
    failpoint("run.after_running");
    this.#accept(execution);
    this.#showLater(execution);
  }

  async #begin(execution: Execution, spec: RunSpec): Promise<RunState> {
    this.#live.attach(execution);
    return this.#runner.start(spec);
  }

  /** What the runner answers with an error, it did not start. One that went away is asked again once it is back. */
  #notStarted({ invocation_id }: Execution, error: unknown): Pick<RunState, "end"> {
    if (error instanceof MxError && error.code === "MX_NOT_RUNNING") throw error;
    this.#logger.error({ err: error, invocation_id }, "a run could not be started");
    const message = "the executing machine could not take the run on; its operator finds more in its log";
    return { end: nothingRan("spawn_failed", this.#world.now(), { code: toMxError(error).code, message }) };
  }

  /** Takes up, after a restart of this daemon or of the runner, what it still has or what ended in between. */
  async adopt(): Promise<void> {
    const { executions, now } = this.#world;
    // Before the runner is asked: what is handed to it meanwhile is not among what it names.
    const begun = executions.inState("starting", "running");
    const known = new Map((await this.#runner.list()).map((state) => [state.run_id, state]));
    for (const { run_id } of begun) {
      const execution = executions.byRun(run_id);
      if (execution?.state !== "starting" && execution?.state !== "running") continue;
      const state = known.get(run_id);
      // The runner marks a run durably before it starts it, so this one never was: it is decided on again, once,
      // because what took its runner along may take the next one as well.
      if (!state && execution.state === "starting" && !this.#again.has(run_id)) {
        this.#again.add(run_id);
        executions.setState(run_id, "admitted");
        continue;
      }
      this.#live.attach(execution);
      if (!state) this.#ended(run_id, nothingRan("interrupted", now()));
      else if (state.end) this.#ended(execution.run_id, state.end);
      else this.#resume(execution, state);
    }
    // Who takes streams to-device asks for what it lacks; to the others it is sent again, and then the outcome.
    for (const run_id of this.#behind.waiting) {
      const execution = executions.byRun(run_id);
      const live = execution && this.#live.linger(execution);
      if (!execution?.end || !live?.publisher) this.#behind.drop(run_id);
      else this.#sendBehind(execution, execution.end, live, live.publisher.end(execution.end));
    }
  }

  /** The channel of a run for a message of that type. */
  control(invocation_id: string, type: string): ControlChannel | undefined {
    const execution = this.#world.executions.byInvocation(invocation_id);
    if (!execution) return undefined;
    const live = this.#live.get(execution.run_id);
    if (live) return live.control ?? undefined;
    // An ended run whose spool is still there can be read again.
    if (execution.state !== "ended" || type !== EventTypes.streamResume) return undefined;
    return this.#live.linger(execution)?.control ?? undefined;
  }

  /** What is sent of a run goes to that device of its requester from now on. */
  moveTo(run_id: string, device_id: string): void {
    const reply = this.#live.get(run_id)?.reply;
    if (reply) reply.device_id = device_id;
  }

  /** How many chunks an ended run's streams have; null where its output is not kept any more. */
  chunksOf(execution: Execution): { stdout_chunks: number; stderr_chunks: number } | null {
    return (execution.end && this.#live.linger(execution)?.publisher?.end(execution.end)) ?? null;
  }

  /** Ends a run: the outcome will say `cancelled`. `grace_ms`: from SIGTERM to SIGKILL, the runner's own unless given. */
  async cancel(run_id: string, grace_ms?: number): Promise<void> {
    const { executions, now } = this.#world;
    const state = executions.byRun(run_id)?.state;
    if (state === "ended") return;
    this.#cancelled.add(run_id);
    // The runner has not heard of it.
    if (state === "received" || state === "admitted")
      return this.#ended(run_id, nothingRan("cancelled", now()));
    await this.#runner.cancel(run_id, grace_ms);
  }

  get running(): number {
    return this.#world.executions.inState("starting", "running").length;
  }

  /** Lets go; the runs go on under the runner. */
  close(): void {
    this.#closed = true;
    this.#live.close();
  }

  #resume(execution: Execution, state: RunState): void {
    const live = this.#live.attach(execution);
    this.#world.executions.setStarted(execution.run_id, this.#world.now());
    // It may have been lost with the daemon before; the requester, who waits for it, takes it once.
    this.#accept(execution);
    this.#showLater(execution);
    live.publisher?.output("stdout", state.stdout_bytes);
    live.publisher?.output("stderr", state.stderr_bytes);
    live.control?.resumeStdin(state);
  }

  #accept(execution: Execution): void {
    const request = shape(eventOf(execution));
    if (request.kind !== "exec") return;
    const { invocation_id, room_id, run_id } = execution;
    const { device_id } = this.#world.identity.account;
    const content = { invocation_id, device_id, request_sha256: requestDigest(request.content) };
    const reply = replyOf(execution);
    const type = EventTypes.execAccepted;
    if (!reply) sendEvent(room_id, type, content, this.#world);
    else if (request.content.stdin) sendToDevice({ room_id, ...reply }, type, content, this.#world);
    else
      setTimeout(() => {
        if (this.#closed || this.#world.executions.byRun(run_id)?.state !== "running") return;
        sendToDevice({ room_id, ...reply }, type, content, this.#world);
      }, ACCEPT_AFTER_MS).unref();
  }

  /** The outcome is durable, with everything that is to be sent of it, before anything else happens. */
  #ended(run_id: string, end: RunEnd): void {
    if (this.#closed) return;
    const execution = this.#world.executions.byRun(run_id);
    if (!execution || execution.state === "ended" || execution.state === "rejected") return;
    if (this.#finishing.has(run_id)) return;
    this.#finishing.add(run_id);
    this.#finish(execution, end)
      .catch((error: unknown) => {
        const { invocation_id } = execution;
        this.#logger.error({ err: error, invocation_id }, "an outcome could not be recorded; trying again");
        setTimeout(() => this.#ended(run_id, end), RECORD_AGAIN_MS).unref();
      })
      .finally(() => this.#finishing.delete(run_id));
  }

  /** Short runs are two events of the room; a long one is also shown in its state, while it runs and when it is over. */
  #showLater(execution: Execution): void {
    const live = this.#live.get(execution.run_id);
    if (!live || live.show) return;
    live.show = setTimeout(() => showRunning(execution, this.#world), SHOW_AFTER_MS);
    live.show.unref();
  }

  async #finish(execution: Execution, end: RunEnd): Promise<void> {
    const { db, executions, audit, now } = this.#world;
    // What did not even start may lack the very files that its streams need.
    const live =
      end.outcome === "spawn_failed" ? this.#live.get(execution.run_id) : this.#live.attach(execution);
    const outcome: RunEnd =
      this.#cancelled.delete(execution.run_id) && end.outcome === "signaled"
        ? { ...end, outcome: "cancelled" }
        : end;
    live?.control?.close();
    const chunks = live?.publisher?.end(outcome, live.reply !== null) ?? null;
    const result =
      execution.kind === "call" ? await callOutput(this.#runner, execution.run_id, outcome) : null;
    const written = outcome.stdout_bytes + outcome.stderr_bytes > 0;
    const behind = live?.publisher && live.reply === null && written && outcome.outcome !== "spawn_failed";
    // Chunks that the window has room for are before it in the outbox, so that `finished` seldom overtakes them.
    if (!behind)
      await Promise.race([live?.publisher?.settled(), pause(SETTLE_MS, undefined, { ref: false })]);
    if (this.#closed) return;
    failpoint("run.before_ended");
    db.transaction(() => {
      executions.setEnded(execution.run_id, outcome, now());
      audit.outcome(execution, outcome);
      if (outcome.outcome === "spawn_failed") publishSpawnFailure(execution, outcome, this.#world);
      else if (behind) this.#behind.hold(execution.run_id);
      else publishOutcome(execution, outcome, chunks, result, this.#world);
    });
    failpoint("run.after_ended");
    setTimeout(() => live?.publisher?.releaseMarkers(), MARKERS_AFTER_MS).unref();
    if (live?.show) clearTimeout(live.show);
    if (behind) this.#sendBehind(execution, outcome, live, chunks);
    else if (outcome.duration_ms > SHOW_AFTER_MS) showEnded(execution, outcome, this.#world);
    if (live) this.#live.letGo(execution.run_id, live);
  }

  /** `finished`, once all output has gone through the timeline; after a while without the rest of it. */
  #sendBehind(
    execution: Execution,
    end: RunEnd,
    live: LiveRun,
    chunks: { stdout_chunks: number; stderr_chunks: number } | null,
  ): void {
    const send = () => {
      clearTimeout(late);
      if (this.#closed || !live.publisher) return;
      try {
        this.#behind.send(execution, end, chunks, live.publisher.done);
        if (end.duration_ms > SHOW_AFTER_MS) showEnded(execution, end, this.#world);
        this.#live.letGo(execution.run_id, live);
      } catch (error) {
        const { invocation_id } = execution;
        this.#logger.error({ err: error, invocation_id }, "an outcome could not be sent; trying again");
        setTimeout(send, RECORD_AGAIN_MS).unref();
      }
    };
    const late = setTimeout(send, LINGER_MS).unref();
    void live.publisher?.taken().then(send);
  }
}
