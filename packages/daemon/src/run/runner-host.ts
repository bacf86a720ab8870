import type { RunnerClient, RunnerEvents, RunSpec, RunState, RunStream } from "@mx-agent/runner";
import type { Logger } from "pino";

const RETRY_MS = 1_000;
/** One that lived no longer has not had time for anything: what ends it may end the next one as well. */
const SHORT_MS = 5_000;
/** From the second short one on there is a pause, which doubles up to this. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

export interface RunnerHostOptions {
  /** Connects to the runner, or starts one where there is none. */
  start(): Promise<RunnerClient>;
  logger: Logger;
}

/**
 * The runner, through its deaths: one that dies takes its children along, and the next one records them as
 * interrupted. While there is none, calls fail; `restarted` listeners then look at what became of each run.
 */
export class RunnerHost implements RunnerClient {
  readonly #options: RunnerHostOptions;
  readonly #listeners: Omit<{ [E in keyof RunnerEvents]: RunnerEvents[E][] }, "closed"> = {
    output: [],
    ended: [],
  };
  readonly #restarted: (() => Promise<void>)[] = [];
  #client: RunnerClient;
  #closing = false;
  #gone = false;
  #replacing: Promise<void> | undefined;
  /** Since when the runner of now is there, by a clock that does not jump. */
  #since = 0;
  /** Runners in a row that lived for a moment only. */
  #short = 0;

  private constructor(options: RunnerHostOptions, client: RunnerClient) {
    this.#options = options;
    this.#client = client;
    this.#adoptClient(client);
  }

  static async start(options: RunnerHostOptions): Promise<RunnerHost> {
    return new RunnerHost(options, await options.start());
  }

  get pid(): number {
    return this.#client.pid;
  }

  /** Called when another runner has taken the place of one that died. */
  onRestarted(listener: () => Promise<void>): void {
    this.#restarted.push(listener);
  }

  on<E extends keyof RunnerEvents>(event: E, listener: RunnerEvents[E]): void {
    if (event === "output") this.#listeners.output.push(listener as RunnerEvents["output"]);
    else if (event === "ended") this.#listeners.ended.push(listener as RunnerEvents["ended"]);
  }

  start(spec: RunSpec): Promise<RunState> {
    return this.#client.start(spec);
  }

  stdin(run_id: string, offset: number, data: Uint8Array, eof: boolean): Promise<{ stdin_bytes: number }> {
    return this.#client.stdin(run_id, offset, data, eof);
  }

  read(run_id: string, stream: RunStream, offset: number, max_bytes: number): Promise<Uint8Array> {
    return this.#client.read(run_id, stream, offset, max_bytes);
  }

  cancel(run_id: string, grace_ms?: number): Promise<void> {
    return this.#client.cancel(run_id, grace_ms);
  }

  list(): Promise<RunState[]> {
    return this.#client.list();
  }

  forget(run_id: string): Promise<void> {
    return this.#client.forget(run_id);
  }

  async shutdown(): Promise<void> {
    this.#closing = true;
    if (this.#replacing !== undefined) await this.#replacing;
    else await this.#client.shutdown();
  }

  close(): void {
    this.#closing = true;
    this.#client.close();
  }

  #adoptClient(client: RunnerClient): void {
    this.#client = client;
    this.#since = performance.now();
    client.on("output", (...args) => {
      for (const listener of this.#listeners.output) listener(...args);
    });
    client.on("ended", (...args) => {
      for (const listener of this.#listeners.ended) listener(...args);
    });
    client.on("closed", () => {
      if (this.#closing || client !== this.#client) return;
      this.#gone = true;
      this.#replacing ??= this.#replace().finally(() => {
        this.#replacing = undefined;
      });
    });
  }

  async #calmDown(): Promise<void> {
    this.#short = performance.now() - this.#since < SHORT_MS ? this.#short + 1 : 0;
    if (this.#short > 1) await pause(Math.min(FIRST_PAUSE_MS * 2 ** (this.#short - 2), MAX_PAUSE_MS));
  }

  async #replace(): Promise<void> {
    const { logger, start } = this.#options;
    logger.error({}, "the runner is gone; starting another one");
    while (!this.#closing) {
      try {
        await this.#calmDown();
        const client = await start();
        // Told to end while it was being started: nothing can have been begun on it.
        if (this.#closing) return await client.shutdown();
        this.#gone = false;
        this.#adoptClient(client);
        for (const listener of this.#restarted) await listener();
        // This one may have died while its runs were looked at: there is one that looks for the next.
        if (!this.#gone) return;
      } catch (error) {
        logger.error({ err: error }, "the runner could not be started; trying again");
        await pause(RETRY_MS);
      }
    }
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
