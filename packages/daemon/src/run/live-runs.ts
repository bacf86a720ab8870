import { mkdirSync } from "node:fs";
import type { RunnerClient } from "@mx-agent/runner";
import type { Logger } from "pino";
import { RunPublisher } from "../publish/run-publisher.ts";
import type { Execution } from "../state/executions.ts";
import { ControlChannel } from "./control.ts";
import type { ExecutorWorld } from "./executor-world.ts";
import { type Reply, replyOf } from "./reply.ts";

/** How long an ended run's streams stay open for a receiver that asks again. */
export const LINGER_MS = 10 * 60_000;

export interface LiveRun {
  /** Shared by everything that sends for this run. */
  reply: Reply | null;
  publisher: RunPublisher | null;
  control: ControlChannel | null;
  linger: NodeJS.Timeout | null;
  /** Until the run is shown in the room's state. */
  show: NodeJS.Timeout | null;
}

/** What is open for runs that go on or ended a moment ago: their streams, and what they are told. */
export class LiveRuns {
  readonly #world: ExecutorWorld;
  readonly #runner: RunnerClient;
  readonly #indexDir: string;
  readonly #cancel: (run_id: string) => Promise<void>;
  readonly #logger: Logger;
  readonly #live = new Map<string, LiveRun>();

  constructor(
    world: ExecutorWorld,
    runner: RunnerClient,
    indexDir: string,
    cancel: (run_id: string) => Promise<void>,
    logger: Logger,
  ) {
    this.#logger = logger;
    this.#world = world;
    this.#runner = runner;
    this.#indexDir = indexDir;
    this.#cancel = cancel;
    mkdirSync(indexDir, { recursive: true, mode: 0o700 });
  }

  get(run_id: string): LiveRun | undefined {
    return this.#live.get(run_id);
  }

  /** The streams of a run, opened where they are not. */
  attach(execution: Execution): LiveRun {
    const existing = this.#live.get(execution.run_id);
    if (existing) return existing;
    const { invocation_id, run_id, room_id, kind } = execution;
    const reply = replyOf(execution);
    const indexDir = this.#indexDir;
    const publisher =
      kind === "exec"
        ? new RunPublisher({
            ...this.#world,
            invocation_id,
            run_id,
            room_id,
            reply,
            indexDir,
            runner: this.#runner,
            onAllTaken: () => this.#allTaken(run_id),
          })
        : null;
    const control =
      publisher &&
      new ControlChannel(
        execution,
        reply,
        publisher,
        this.#runner,
        this.#world,
        indexDir,
        () => this.#cancel(run_id),
        this.#logger,
      );
    const live: LiveRun = { reply, publisher, control, linger: null, show: null };
    this.#live.set(run_id, live);
    return live;
  }

  /** Opens those of an ended run again, as long as there is an output to read. */
  linger(execution: Execution): LiveRun | undefined {
    if (!execution.end || execution.kind !== "exec") return undefined;
    const live = this.attach(execution);
    live.control?.close();
    live.publisher?.end(execution.end);
    this.letGo(execution.run_id, live);
    return live;
  }

  /** The receiver has all of an ended run: should it ask again all the same, the streams are opened again. */
  #allTaken(run_id: string): void {
    const live = this.#live.get(run_id);
    if (!live?.linger) return;
    clearTimeout(live.linger);
    live.publisher?.close();
    this.#live.delete(run_id);
  }

  /** Keeps an ended run's streams for a receiver that is behind, for a while. */
  letGo(run_id: string, live: LiveRun): void {
    if (!live.publisher) {
      this.#live.delete(run_id);
      return;
    }
    if (live.linger) clearTimeout(live.linger);
    live.linger = setTimeout(() => this.#allTaken(run_id), LINGER_MS);
    live.linger.unref();
    if (live.publisher.done) this.#allTaken(run_id);
  }

  close(): void {
    for (const live of this.#live.values()) {
      if (live.linger) clearTimeout(live.linger);
      if (live.show) clearTimeout(live.show);
      live.control?.close();
      live.publisher?.close();
    }
    this.#live.clear();
  }
}
