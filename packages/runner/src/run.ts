/** One run, from its mark in the spool to its end record. */
import { failpoint } from "@mx-agent/base";
import type { RunEnd, RunSpec, RunState, RunStream } from "./api.ts";
import type { RunGroup } from "./cgroup.ts";
import { Deadline } from "./deadline.ts";
import { drain } from "./drain.ts";
import { StartFailure, systemCode } from "./identity.ts";
import { type Launched, launch } from "./launch.ts";
import { LauncherStatus } from "./launcher-status.ts";
import { limitProcess } from "./limit-process.ts";
import type { Machine } from "./machine.ts";
import type { Origin } from "./origins.ts";
import { OutputBudget, pump } from "./output.ts";
import { processInfo } from "./processes.ts";
import type { EndedState, RunRecord, StreamSpool } from "./spool.ts";
import { StdinPipe } from "./stdin.ts";
import { ProcessTree } from "./tree.ts";
import { hasLimit } from "./watch.ts";

/** From SIGTERM to SIGKILL. */
export const GRACE_MS = 5_000;

/** How long what a command leaves behind may still write after the command itself has ended. */
const LINGER_MS = 1_000;

/** Why the runner ends a run. */
type Cause = "timed_out" | "cancelled" | "output_limit" | "interrupted" | "limit" | "not_confined";

export interface RunListener {
  output(run_id: string, stream: RunStream, bytes: number): void;
  ended(run_id: string, end: RunEnd): void;
}

export class Run {
  readonly run_id: string;
  readonly #spec: RunSpec;
  readonly #machine: Machine;
  readonly #listener: RunListener;
  readonly #began = performance.now();
  readonly #started_at: string;
  readonly #spools: Record<RunStream, StreamSpool>;
  #pid: number | null = null;
  #stdin = new StdinPipe(null);
  #tree: ProcessTree | null = null;
  #group: RunGroup | null = null;
  /** null where there are no brands. */
  #origin: Origin | null = null;
  #ending: Promise<unknown> | null = null;
  #cause: Cause | null = null;
  #error: RunEnd["error"] = null;
  #exited = false;
  #truncated = false;
  #end: RunEnd | null = null;
  /** Settles when the end is durable and was told. */
  readonly done: Promise<void>;
  #settle: () => void = () => undefined;

  private constructor(
    spec: RunSpec,
    machine: Machine,
    listener: RunListener,
    spools: Record<RunStream, StreamSpool>,
  ) {
    this.run_id = spec.run_id;
    this.#spec = spec;
    this.#machine = machine;
    this.#listener = listener;
    this.#spools = spools;
    this.#started_at = machine.now().toISOString();
    this.done = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /**
   * Marks, spawns, and resolves when the command runs, or with a run that has already ended. null: the
   * run has a mark, and is not started again. `begun` gets it as soon as there is something to own.
   */
  static async start(
    spec: RunSpec,
    machine: Machine,
    listener: RunListener,
    begun: (run: Run) => void,
  ): Promise<Run | null> {
    if (!(await machine.spool.claim(spec.run_id))) return null;
    const run = new Run(spec, machine, listener, await machine.spool.openStreams(spec.run_id));
    begun(run);
    await run.#launch();
    return run;
  }

  get state(): RunState {
    return {
      run_id: this.run_id,
      pid: this.#pid,
      started_at: this.#started_at,
      stdout_bytes: this.#spools.stdout.bytes,
      stderr_bytes: this.#spools.stderr.bytes,
      stdin_bytes: this.#stdin.taken,
      stdin_ended: this.#stdin.ended,
      end: this.#end,
    };
  }

  async stdin(offset: number, data: Uint8Array, eof: boolean): Promise<number> {
    return this.#stdin.write(offset, data, eof);
  }

  /** Ends everything that descends from the run. The first cause is the one that is reported. */
  stop(cause: Cause, grace_ms = GRACE_MS, error: RunEnd["error"] = null): void {
    // What the command did before by itself stays its outcome; only cut off output is told all the same.
    if (this.#cause === null && (!this.#exited || cause === "output_limit")) {
      this.#cause = cause;
      this.#error = error;
    }
    this.#clear(grace_ms);
  }

  async #launch(): Promise<void> {
    const machine = this.#machine;
    const record = {
      run_id: this.run_id,
      started_at: this.#started_at,
      pid: null,
      start_time: null,
      boot_id: machine.boot_id,
      brand: null,
    };
    let brand: number | null = null;
    let launched: Launched;
    try {
      if (hasLimit(this.#spec.limits) && machine.boot_id === "")
        throw new StartFailure("LIMIT_UNAVAILABLE", "this system shows no processes to measure");
      this.#group = (await machine.cgroups())?.forRun(this.run_id, this.#spec.limits) ?? null;
      launched = await launch(this.#spec, await machine.launching(), this.#group, () => {
        // Without an await in between: what another start does to this process must not be inherited.
        brand = machine.brands.take();
        const confined = this.#spec.sandbox.backend !== "none";
        this.#origin = brand === null ? null : machine.origins.begin(brand, confined);
        machine.spool.writeRecord({ ...record, brand });
        failpoint("runner.spawn.before");
      });
    } catch (error) {
      await this.#finish(failure(error));
      return;
    }
    failpoint("runner.spawn.after");
    const { pid } = launched;
    this.#pid = pid;
    machine.children.add(pid);
    const start_time = processInfo(pid)?.start_time ?? 0;
    const origin: Origin | null = this.#origin;
    if (origin !== null) origin.start_time = start_time;
    const status = new LauncherStatus(launched.status);
    this.#stdin = new StdinPipe(launched.stdin);
    this.#tree = new ProcessTree({ pid, start_time, brand, spared: status.spared(pid) }, (process) => {
      if (process.ppid !== globalThis.process.pid || machine.children.has(process.pid)) return false;
      return origin !== null && machine.origins.isOf(origin, process);
    });
    const life = this.#live(launched, status).catch((error: unknown) => this.#unaccounted(launched, error));
    machine.watch(life);
    this.#record({ ...record, pid, start_time, brand });
    await this.#confine(launched, status);
    await Promise.race([status.running(pid), life]);
  }

  /** Puts limits on the sandbox's first process, which all of it inherits, and then lets the command begin. */
  async #confine(launched: Launched, status: LauncherStatus): Promise<void> {
    if (launched.open === null) return;
    const init = await status.init();
    try {
      if (init !== null) limitProcess(init, this.#spec.limits, this.#machine.native);
      launched.open();
    } catch (error) {
      this.stop("not_confined", 0, failure(error).error);
    }
  }

  /** The brand alone finds what is left of a run: the command goes on, whatever the disk says. */
  #record(record: RunRecord): void {
    try {
      this.#machine.spool.writeRecord(record);
    } catch (error) {
      this.#machine.log(`${this.run_id}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #live(launched: Launched, status: LauncherStatus): Promise<void> {
    const { limits } = this.#spec;
    const deadline = new Deadline(limits.max_runtime_ms, () => this.stop("timed_out"));
    const unwatch = this.#watchLimits();
    const budget = new OutputBudget(limits.max_output_bytes, () => this.stop("output_limit"));
    const streams = Promise.all([
      this.#pump(launched, "stdout", budget),
      this.#pump(launched, "stderr", budget),
    ]);
    const exit = await launched.exited;
    this.#exited = true;
    this.#machine.children.delete(launched.pid);
    deadline.clear();
    unwatch();
    this.#stdin.close();
    await this.#afterwards(streams, launched);
    const real = await status.exit(exit);
    if (real.kind === "not_started" && this.#cause === null) {
      const said = await this.#machine.spool.read(this.run_id, "stderr", 0, 4096);
      await this.#finish({ outcome: "spawn_failed", error: real.explain(said.toString("utf8")) });
      return;
    }
    const { code, signal } = real.kind === "exited" ? real : exit;
    const held = this.#cause === null ? (this.#group?.exceeded() ?? null) : null;
    if (held !== null) {
      await this.#finish({ outcome: "signaled", signal: "SIGKILL", error: held });
      return;
    }
    if (this.#cause === "not_confined") {
      await this.#finish({ outcome: "spawn_failed", error: this.#error });
      return;
    }
    if (this.#cause === "limit") {
      await this.#finish({ outcome: "signaled", signal: "SIGKILL", error: this.#error });
      return;
    }
    await this.#finish({
      outcome: this.#cause ?? (signal === null ? "exited" : "signaled"),
      exit_code: code,
      signal,
      error: this.#error,
    });
  }

  /** Following it failed, which no outcome describes. What is told is that it is over, and nothing of it is left. */
  async #unaccounted(launched: Launched, error: unknown): Promise<void> {
    const { code, message } = { code: systemCode(error), message: String(error) };
    this.#machine.log(`${this.run_id}: ${error instanceof Error ? (error.stack ?? message) : message}`);
    this.stop("interrupted", 0, { code, message });
    await launched.exited;
    await this.#ending;
    await this.#finish({ outcome: "interrupted", error: { code, message } });
  }

  /** What is over a limit gets no grace, as from the kernel. */
  #watchLimits(): () => void {
    const { limits } = this.#spec;
    if (this.#tree === null) return () => undefined;
    // Memory that the kernel limits is not measured as well: the watch counts otherwise, and a moment late.
    const watched = this.#group === null ? limits : { ...limits, max_memory_bytes: null };
    return this.#machine.limits.add(this.#tree, watched, (why) => this.stop("limit", 0, why));
  }

  /** After the exit: lets what is left write its last bytes, then ends it, then closes the pipes. */
  async #afterwards(streams: Promise<unknown>, launched: Launched): Promise<void> {
    if (this.#ending === null) {
      const quiet = streams.then(() => this.#left() === 0);
      const calm = await Promise.race([quiet, after(LINGER_MS).then(() => false)]);
      if (!calm) this.#clear(GRACE_MS);
    }
    await this.#ending;
    const cut = await drain(
      streams,
      [launched.stdout, launched.stderr],
      [this.#spools.stdout, this.#spools.stderr],
    );
    this.#truncated ||= cut;
  }

  #left(): number {
    this.#machine.reap();
    return this.#machine.mayHaveOrphans() ? (this.#tree?.members().length ?? 0) : 0;
  }

  #clear(grace_ms: number): void {
    if (this.#tree === null || (this.#ending !== null && grace_ms >= GRACE_MS)) return;
    const ended = this.#tree.end(grace_ms);
    this.#ending = Promise.all([this.#ending, ended]);
    this.#machine.watch(this.#ending);
  }

  async #pump(launched: Launched, stream: RunStream, budget: OutputBudget): Promise<void> {
    const spool = this.#spools[stream];
    await pump(launched[stream], spool, budget, {
      more: () => this.#listener.output(this.run_id, stream, spool.bytes),
      failed: (code, message) => {
        budget.exhaust();
        this.stop("output_limit", GRACE_MS, { code, message });
      },
    });
    this.#truncated ||= budget.truncated;
  }

  async #finish(outcome: Pick<RunEnd, "outcome"> & Partial<RunEnd>): Promise<void> {
    if (this.#end !== null) return;
    if (this.#origin !== null) this.#machine.origins.end(this.#origin);
    // Before its end is told: what holds nothing any more must not be there when the next run asks for room.
    await this.#group
      ?.remove()
      .catch((error: unknown) => this.#machine.log(`${this.run_id}: ${String(error)}`));
    const [stdout, stderr] = [await this.#spools.stdout.close(), await this.#spools.stderr.close()];
    const lost = stdout.lost ?? stderr.lost;
    // A run without an end would be waited for; output that a disk may not have kept is output cut off.
    if (lost !== null) this.#machine.log(`${this.run_id}: its output may not be on the disk: ${lost}`);
    const end: RunEnd = {
      exit_code: null,
      signal: null,
      error: null,
      ...outcome,
      duration_ms: Math.round(performance.now() - this.#began),
      stdout_bytes: stdout.bytes,
      stderr_bytes: stderr.bytes,
      stdout_sha256: stdout.sha256,
      stderr_sha256: stderr.sha256,
      truncated: this.#truncated || lost !== null,
      ended_at: this.#machine.now().toISOString(),
    };
    const state: EndedState = { ...this.state, end };
    await this.#machine.keepWriting(() => this.#machine.spool.writeEnd(state));
    this.#end = end;
    this.#listener.ended(this.run_id, end);
    this.#settle();
  }
}

function failure(error: unknown): Pick<RunEnd, "outcome" | "error"> {
  if (error instanceof StartFailure)
    return { outcome: "spawn_failed", error: { code: error.code, message: error.message } };
  const message = error instanceof Error ? error.message : String(error);
  return { outcome: "spawn_failed", error: { code: systemCode(error), message } };
}

function after(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
