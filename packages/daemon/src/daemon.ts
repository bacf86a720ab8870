import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Dirs, mxError, toMxError, version } from "@mx-agent/base";
import type { DaemonStatus, Params, Result } from "@mx-agent/ipc";
import { type Machine, showProblem } from "@mx-agent/policy";
import type { RunnerClient } from "@mx-agent/runner";
import type { Logger } from "pino";
import { AccountKeeper } from "./account.ts";
import { signerOf } from "./audit/checkpoint.ts";
import type { AuditLog } from "./audit/log.ts";
import { Auditor } from "./audit-entries.ts";
import { boundLog } from "./log-bound.ts";
import { keyWarnings } from "./matrix/keys/warnings.ts";
import type { Credentials } from "./matrix/types.ts";
import { Online } from "./online.ts";
import { PolicyFile } from "./policy-file.ts";
import { removeStdinFiles } from "./request/stdin-files.ts";
import { OutboxTable } from "./state/outbox.ts";
import type { Tables } from "./state/tables.ts";
import { rotate } from "./trust/rotation.ts";

export interface DaemonOptions {
  dirs: Dirs;
  env: NodeJS.ProcessEnv;
  tables: Tables;
  runner: RunnerClient;
  log: AuditLog;
  machine: Machine;
  logger: Logger;
  sockets: { daemon: string; agent: string };
  now(): number;
  fetch: typeof globalThis.fetch;
  /** Ends the process in an orderly way; called at most once. */
  stop(): void;
  /** State could not be written: ends the process at once. */
  fatal(error: unknown): void;
}

/** How long ended invocations and their output are kept, how many of each side, and how much output in all. */
const KEEP_MS = 7 * 24 * 3_600_000;
const KEEP_RUNS = 10_000;
const KEEP_BYTES = 4 * 1024 ** 3;
const TIDY_EVERY_MS = 10 * 60_000;

/** The daemon between its sockets and Matrix: what there is while logged out, and `online` beside it. */
export class Daemon {
  readonly tables: Tables;
  readonly policy: PolicyFile;
  readonly account: AccountKeeper;
  readonly audit: Auditor;
  readonly log: AuditLog;
  readonly now: () => number;
  readonly #options: DaemonOptions;
  readonly #startedAt = Date.now();
  #tidying: NodeJS.Timeout | undefined;
  #online: Online | undefined;
  /** Why the last login could not be taken up. */
  #failed: string | undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.tables = options.tables;
    this.now = options.now;
    this.log = options.log;
    this.audit = new Auditor(options.log);
    this.policy = new PolicyFile(join(options.dirs.config, "policy.toml"), options.machine, () =>
      this.#policyChanged(),
    );
    this.account = new AccountKeeper({
      settings: options.tables.settings,
      fetch: options.fetch,
      now: options.now,
      logger: options.logger,
      goOnline: (credentials) => this.#goOnline(credentials),
      goOffline: () => this.#goOffline(),
    });
  }

  get online(): Online | undefined {
    return this.#online;
  }

  get runner(): RunnerClient {
    return this.#options.runner;
  }

  requireOnline(): Online {
    if (this.#online) return this.#online;
    if (this.#failed !== undefined)
      throw mxError("MX_NOT_RUNNING", { what: "the Matrix session", hint: this.#failed });
    throw this.account.notLoggedIn();
  }

  /** Goes on with the last login, if there is one. Where that fails, `status` says why. */
  async start(): Promise<void> {
    this.audit.daemon("started", version());
    this.#tidying = setInterval(() => {
      this.#tidy().catch((error: unknown) => this.#options.logger.error({ err: error }, "tidying up failed"));
    }, TIDY_EVERY_MS);
    this.#tidying.unref();
    const credentials = this.account.credentials();
    if (!credentials) return;
    try {
      await this.#goOnline(credentials);
    } catch (error) {
      this.#failed = toMxError(error).message;
      this.#options.logger.error({ err: error }, "the last login could not be taken up");
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#tidying);
    this.policy.close();
    await this.#goOffline();
    this.audit.daemon("stopped", version());
    this.log.close();
  }

  /** A step of the change of this daemon's signing key. */
  rotate(step: Params<"trust.rotate">): Promise<Result<"trust.rotate">> {
    return rotate(step, {
      tables: this.tables,
      audit: this.audit,
      keysDir: this.#keysDir,
      online: () => this.requireOnline(),
      reopen: async (change) => {
        const credentials = this.account.credentials();
        // What was signed so far is closed with the key that signed it.
        this.log.checkpoint();
        await this.#goOffline();
        change();
        if (credentials) await this.#goOnline(credentials);
      },
      now: this.now,
    });
  }

  stopSoon(): void {
    setImmediate(this.#options.stop);
  }

  status(): DaemonStatus {
    const { sockets, runner, tables } = this.#options;
    const running = tables.executions.inState("admitted", "starting", "running").length;
    return {
      pid: process.pid,
      version: version(),
      started_at: new Date(this.#startedAt).toISOString(),
      uptime_ms: Date.now() - this.#startedAt,
      sockets,
      account: this.#online?.session.account ?? this.account.current(),
      sync: this.#syncStatus(),
      policy: this.#policyStatus(),
      runner: { state: "running", pid: runner.pid },
      running_invocations: running,
      outbox_depth: this.#online?.session.outbox.depth() ?? new OutboxTable(tables.db).count(),
      dropped_results: this.#online?.caller.answers.dropped ?? 0,
      undecryptable: this.#online?.session.undecryptable() ?? 0,
      warnings: this.#online ? [...this.#online.registry.warnings, ...keyWarnings(this.#online.session)] : [],
    };
  }

  /** Keeps what is kept within bounds: by age, by number, and by what the spools take. */
  async #tidy(): Promise<void> {
    boundLog(join(this.#options.dirs.data, "daemon.log"));
    const { executions, requests } = this.tables;
    const tooOld = this.now() - KEEP_MS;
    const excess = executions.excess(KEEP_RUNS, KEEP_BYTES) ?? 0;
    await this.#pruneRuns(Math.max(tooOld, excess + 1));
    requests.deleteEndedBefore(Math.max(tooOld, (requests.excess(KEEP_RUNS) ?? 0) + 1));
    if (existsSync(this.indexDir)) removeStdinFiles(this.indexDir, requests);
  }

  /** Removes what ended before: records, spools, chunk boundaries. */
  async prune(older_than_ms: number): Promise<Result<"invocation.prune">> {
    const before = this.now() - older_than_ms;
    const { pruned, bytes } = await this.#pruneRuns(before);
    return { pruned: pruned + this.tables.requests.deleteEndedBefore(before), bytes };
  }

  async #pruneRuns(before: number): Promise<Result<"invocation.prune">> {
    const { executions } = this.tables;
    let bytes = 0;
    const ended = executions.endedBefore(before);
    const spools = new Set((await this.#options.runner.list()).map((run) => run.run_id));
    for (const execution of ended) {
      if (spools.has(execution.run_id)) {
        bytes += (execution.end?.stdout_bytes ?? 0) + (execution.end?.stderr_bytes ?? 0);
        await this.#options.runner.forget(execution.run_id);
      }
      for (const stream of ["stdin", "stdout", "stderr"])
        rmSync(join(this.indexDir, `${execution.run_id}.${stream}`), { force: true });
      executions.delete(execution.run_id);
    }
    return { pruned: ended.length, bytes };
  }

  get #keysDir(): string {
    return join(this.#options.dirs.data, "keys");
  }

  /** Where chunk boundaries are kept. */
  get indexDir(): string {
    return join(this.#options.dirs.data, "chunks");
  }

  async #goOnline(credentials: Credentials): Promise<void> {
    const { dirs, env, tables, runner, machine, log, logger, now, fetch, fatal } = this.#options;
    this.#failed = undefined;
    this.#online = await Online.open({
      credentials,
      tables,
      runner,
      policy: this.policy,
      machine,
      audit: this.audit,
      auditHead: () => log.head().signed ?? undefined,
      run: {
        env,
        home: machine.home,
        hidden_paths: [dirs.config, dirs.data, dirs.runtime],
        indexDir: this.indexDir,
      },
      keysDir: this.#keysDir,
      cryptoDir: join(dirs.data, "crypto"),
      logger,
      now,
      fetch,
      onTokens: (tokens) => this.account.renewed(credentials.device_id, tokens),
      onLoggedOut: (soft, detail) => this.#onLoggedOut(soft, detail),
      onFatal: fatal,
    });
    log.signWith(signerOf(this.#online.identity.key));
    log.checkpoint();
  }

  async #goOffline(): Promise<void> {
    const online = this.#online;
    this.#online = undefined;
    await online?.close();
  }

  #onLoggedOut(soft: boolean, detail: string): void {
    this.account.revoked(soft, detail);
    this.#options.logger.error({ detail, soft }, "the homeserver no longer accepts this login; log in again");
    this.#goOffline().catch((error: unknown) =>
      this.#options.logger.error({ err: error }, "closing the session failed"),
    );
  }

  #policyChanged(): void {
    const status = this.#policyStatus();
    this.#options.logger.info({ policy: status.state, detail: status.detail }, "the policy was read");
    this.audit.policy(status.state, digestOf(status.file));
    this.#online?.revocations.check();
    this.#online?.registry.publishAll();
  }

  #policyStatus(): DaemonStatus["policy"] {
    const loaded = this.policy.current();
    if (loaded.state !== "invalid") return { state: loaded.state, file: this.policy.file, detail: null };
    const detail = loaded.problems.map(showProblem).join("; ");
    return { state: "invalid", file: this.policy.file, detail: `everything is refused: ${detail}` };
  }

  #syncStatus(): DaemonStatus["sync"] {
    const health = this.#online?.session.health();
    if (!health) {
      const detail = this.#failed ?? this.account.revokedBecause();
      return {
        state: this.#failed === undefined ? "logged_out" : "stopped",
        detail,
        retry_in_ms: null,
        last_sync_at: null,
      };
    }
    return {
      state: health.state,
      detail: "detail" in health ? health.detail : null,
      retry_in_ms: "retry_in_ms" in health ? health.retry_in_ms : null,
      last_sync_at: health.last_sync_ts === null ? null : new Date(health.last_sync_ts).toISOString(),
    };
  }
}

function digestOf(file: string): string | null {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("hex");
  } catch {
    return null;
  }
}
