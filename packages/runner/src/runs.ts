/** All runs of this runner: the live ones here, the ended ones in the spool. */
import { setTimeout as wait } from "node:timers/promises";
import { mxError } from "@mx-agent/base";
import type { RunSpec, RunState, RunStream } from "./api.ts";
import type { Machine } from "./machine.ts";
import { Run, type RunListener } from "./run.ts";
import { checkRunId } from "./spool.ts";

/** The most that one answer carries of a spool, in bytes. */
export const MAX_READ_BYTES = 4 * 1024 * 1024;

/** Their grace, their SIGKILL, and a disk that is slow. */
const END_WITHIN_MS = 15_000;

export class Runs {
  readonly #machine: Machine;
  readonly #listener: RunListener;
  readonly #live = new Map<string, Run>();
  /** Runs that are between their mark and their spawn. */
  readonly #starting = new Map<string, Promise<RunState>>();

  constructor(machine: Machine, listener: RunListener) {
    this.#machine = machine;
    this.#listener = listener;
  }

  /** Starts a run, or answers the state of the one that has this id. */
  start(spec: RunSpec): Promise<RunState> {
    const underway = this.#starting.get(spec.run_id);
    if (underway !== undefined) return underway;
    const starting = this.#start(spec).finally(() => this.#starting.delete(spec.run_id));
    this.#starting.set(spec.run_id, starting);
    return starting;
  }

  async stdin(run_id: string, offset: number, data: Uint8Array, eof: boolean): Promise<number> {
    const run = await this.#settled(run_id);
    if (run instanceof Run) return run.stdin(offset, data, eof);
    // It has ended and reads no more; saying so is the end event's part.
    return Math.max(run.stdin_bytes, offset + data.length);
  }

  async read(run_id: string, stream: RunStream, offset: number, max_bytes: number): Promise<Buffer> {
    await this.#find(run_id);
    return this.#machine.spool.read(run_id, stream, offset, Math.min(max_bytes, MAX_READ_BYTES));
  }

  async cancel(run_id: string, grace_ms: number | null): Promise<void> {
    const run = await this.#settled(run_id);
    if (run instanceof Run) run.stop("cancelled", grace_ms ?? undefined);
  }

  async list(): Promise<RunState[]> {
    const states: RunState[] = [];
    for (const run_id of await this.#machine.spool.ids()) {
      const state = this.#live.get(run_id)?.state ?? (await this.#machine.spool.readEnd(run_id));
      if (state !== null) states.push(state);
    }
    return states;
  }

  async forget(run_id: string): Promise<void> {
    const run = await this.#settled(run_id);
    if (run instanceof Run && run.state.end === null)
      throw mxError("MX_BAD_INPUT", { detail: `run ${run_id} has not ended`, hint: "cancel it first" });
    await this.#machine.spool.forget(run_id);
  }

  /**
   * Ends every run as interrupted, and resolves when all ends are durable, or cannot be made so: the next runner then
   * finds the runs without one, and says the same of them.
   */
  async endAll(): Promise<void> {
    await Promise.allSettled(this.#starting.values());
    const live = [...this.#live.values()];
    for (const run of live) run.stop("interrupted");
    const late = new AbortController();
    const ended = Promise.all(live.map((run) => run.done)).finally(() => late.abort());
    await Promise.race([
      ended,
      wait(END_WITHIN_MS, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
  }

  async #start(spec: RunSpec): Promise<RunState> {
    const run = await Run.start(spec, this.#machine, this.#listener, (begun) => {
      this.#live.set(spec.run_id, begun);
      this.#machine.watch(begun.done.then(() => this.#live.delete(spec.run_id)));
    });
    const found = run ?? (await this.#find(spec.run_id));
    return found instanceof Run ? found.state : found;
  }

  /** Once it runs or has ended: what is only being started has neither stdin nor processes. */
  async #settled(run_id: string): Promise<Run | RunState> {
    await this.#starting.get(run_id)?.catch(() => undefined);
    return this.#find(run_id);
  }

  async #find(run_id: string): Promise<Run | RunState> {
    checkRunId(run_id);
    const found = this.#live.get(run_id) ?? (await this.#machine.spool.readEnd(run_id));
    if (found === null)
      throw mxError("MX_NOT_FOUND", { what: "run", name: run_id, hint: "it has no spool here" });
    return found;
  }
}
