import { join } from "node:path";
import { type Dirs, mxError, toMxError, version } from "@mx-agent/base";
import type { DaemonStatus, Params, Result } from "@mx-agent/ipc";
import { type Machine, showProblem } from "@mx-agent/policy";
import type { RunnerClient } from "@mx-agent/runner";
import type { Logger } from "pino";
import { AccountKeeper } from "./account.ts";
import type { World } from "./admit/world.ts";
import { attempt } from "./attempt.ts";
import { signerOf } from "./audit/checkpoint.ts";
import type { AuditLog } from "./audit/log.ts";
import { Auditor } from "./audit-entries.ts";
import type { Rooms } from "./matrix/api.ts";
import { keyWarnings } from "./matrix/keys/warnings.ts";
import { lastRooms } from "./matrix/rooms.ts";
import type { Credentials } from "./matrix/types.ts";
import { Online } from "./online.ts";
import { digestOf, PolicyFile } from "./policy-file.ts";
import { Retention } from "./retention.ts";
import { worldOfRun } from "./run/executor-world.ts";
import { Revocations } from "./run/revocations.ts";
import { existingKeyOf } from "./signing-keys.ts";
import type { Execution } from "./state/executions.ts";
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

const TIDY_EVERY_MS = 10 * 60_000;

/** The daemon between its sockets and Matrix: what there is while logged out, and `online` beside it. */
export class Daemon {
  readonly tables: Tables;
  readonly policy: PolicyFile;
  readonly account: AccountKeeper;
  readonly audit: Auditor;
  readonly log: AuditLog;
  readonly retention: Retention;
  readonly revocations: Revocations;
  readonly now: () => number;
  readonly #options: DaemonOptions;
  readonly #startedAt = Date.now();
  readonly #started = performance.now();
  #tidying: NodeJS.Timeout | undefined;
  /** The rooms as the last session left them; nobody is asked for an alias. */
  readonly #lastRooms: Rooms;
  #online: Online | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Why the last login could not be taken up. */
  #failed: string | undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.tables = options.tables;
    this.now = options.now;
    this.log = options.log;
    this.audit = new Auditor(options.log);
    const { tables, runner, now } = options;
    this.retention = new Retention({
      ...{ tables, runner, now },
      dataDir: options.dirs.data,
      indexDir: this.indexDir,
    });
    this.policy = new PolicyFile(join(options.dirs.config, "policy.toml"), options.machine, () =>
      this.#policyChanged(),
    );
    this.#lastRooms = lastRooms(tables.db);
    this.revocations = new Revocations({
      executions: tables.executions,
      world: (execution) => this.worldOf(execution),
      cancel: (run_id, grace_ms) => this.#cancel(run_id, grace_ms),
      readPolicy: () => this.policy.current(),
      audit: this.audit,
      logger: options.logger,
    });
    this.account = new AccountKeeper({
      settings: options.tables.settings,
      fetch: options.fetch,
      now: options.now,
      logger: options.logger,
      goOnline: (credentials) => this.#goOnline(credentials),
      goOffline: () => this.#goOffline(),
    });
  }

  /** The rooms, as far as they are known: without a session those of the last one. */
  get rooms(): Rooms {
    return this.#online?.session.rooms ?? this.#lastRooms;
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
      this.retention
        .tidy()
        .catch((error: unknown) => this.#options.logger.error({ err: error }, "tidying up failed"));
    }, TIDY_EVERY_MS);
    this.#tidying.unref();
    const credentials = this.account.credentials();
    if (!credentials) return;
    // `status` says why not.
    await this.#inTurn(() => this.#goOnline(credentials)).catch(() => {});
  }

  async close(): Promise<void> {
    clearInterval(this.#tidying);
    this.revocations.close();
    await this.#goOffline();
    this.audit.daemon("stopped", version());
    this.log.close();
  }

  /** A step of the change of this daemon's signing key. */
  rotate(step: Params<"trust.rotate">): Promise<Result<"trust.rotate">> {
    const parts = {
      tables: this.tables,
      audit: this.audit,
      keysDir: this.#keysDir,
      online: () => this.requireOnline(),
      reopen: async (change: () => void) => {
        const credentials = this.account.credentials();
        // What was signed so far is closed with the key that signed it.
        this.log.checkpoint();
        await this.#goOffline();
        change();
        if (credentials) await this.#goOnline(credentials);
      },
      now: this.now,
    };
    return this.#inTurn(() => rotate(step, parts));
  }

  login(params: Params<"auth.login">): Promise<Result<"auth.login">> {
    return this.#inTurn(() => this.account.login(params));
  }

  logout(): Promise<Result<"auth.logout">> {
    return this.#inTurn(() => this.account.logout());
  }

  /** What ends a session or begins one, one after another: there is never a second one. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /**
   * Ends a run of this machine, or what is held or waits to be started. What the runner has is ended without a session
   * as well; its outcome, and the end of the rest, which cannot start meanwhile, is recorded and sent after the next login.
   */
  async cancelRun(execution: Execution): Promise<void> {
    const { run_id, state } = execution;
    const begun = state === "starting" || state === "running";
    if (!begun && !this.#online) this.tables.executions.setCancelled(run_id, this.now());
    else if (state === "held") this.requireOnline().executor.refuseHeld(execution);
    else await this.#cancel(run_id);
  }

  #cancel(run_id: string, grace_ms?: number): Promise<void> {
    return (this.#online?.runs ?? this.runner).cancel(run_id, grace_ms);
  }

  #look(): void {
    attempt("runs could not be looked at", this.#options.logger, () => this.revocations.check());
  }

  /** Whoever has logged out, or was logged out by his homeserver, has not given up deciding what runs here. */
  worldOf({ sender }: Pick<Execution, "sender">): World {
    const user_id = this.account.current()?.user_id ?? sender;
    const key = this.#online?.identity.key ?? existingKeyOf(this.#keysDir, user_id);
    return worldOfRun({
      ...this.tables,
      self: { user_id, key_id: key?.key_id ?? "", public_key: key?.publicKey ?? new Uint8Array() },
      rooms: this.rooms,
      policy: this.policy,
      machine: this.#options.machine,
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
      uptime_ms: Math.round(performance.now() - this.#started),
      sockets,
      account: this.#online?.session.account ?? this.account.current(),
      sync: this.#syncStatus(),
      policy: this.#policyStatus(),
      runner: { state: "running", pid: runner.pid },
      running_invocations: running,
      outbox_depth: this.#online?.session.outbox.depth() ?? new OutboxTable(tables.db).count(),
      dropped_results: this.#online?.caller.answers.dropped ?? 0,
      undecryptable: this.#online?.session.undecryptable() ?? 0,
      audit_contradicted: this.log.contradicted().map(({ seq }) => seq),
      warnings: [
        ...this.log.warnings,
        ...(this.#online ? [...this.#online.registry.warnings, ...keyWarnings(this.#online.session)] : []),
      ],
    };
  }

  get #keysDir(): string {
    return join(this.#options.dirs.data, "keys");
  }

  /** Where chunk boundaries are kept. */
  get indexDir(): string {
    return join(this.#options.dirs.data, "chunks");
  }

  async #goOnline(credentials: Credentials): Promise<void> {
    await this.#goOffline();
    this.#failed = undefined;
    try {
      this.#online = await this.#open(credentials);
    } catch (error) {
      this.#failed = toMxError(error).message;
      this.#options.logger.error({ err: error }, "the login could not be taken up");
      throw error;
    }
    const { log, logger } = this.#options;
    log.signWith(signerOf(this.#online.identity.key));
    attempt("the audit log could not be signed", logger, () => log.checkpoint());
    // The homeserver may have said so while it was being opened.
    if (this.account.credentials() === undefined) await this.#goOffline();
  }

  #open(credentials: Credentials): Promise<Online> {
    const { dirs, env, tables, runner, machine, log, logger, now, fetch, fatal } = this.#options;
    return Online.open({
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
      onSuperseded: () => this.#look(),
      onTokens: (tokens) => this.account.renewed(credentials.device_id, tokens),
      onLoggedOut: (soft, detail) => this.#onLoggedOut(soft, detail),
      onFatal: fatal,
    });
  }

  async #goOffline(): Promise<void> {
    const online = this.#online;
    this.#online = undefined;
    await online?.close();
  }

  #onLoggedOut(soft: boolean, detail: string): void {
    this.account.revoked(soft, detail);
    this.#options.logger.error({ detail, soft }, "the homeserver no longer accepts this login; log in again");
    const online = this.#online;
    this.#online = undefined;
    this.#inTurn(async () => online?.close()).catch((error: unknown) =>
      this.#options.logger.error({ err: error }, "closing the session failed"),
    );
  }

  #policyChanged(): void {
    const status = this.#policyStatus();
    this.#options.logger.info({ policy: status.state, detail: status.detail }, "the policy was read");
    const { logger } = this.#options;
    attempt("that the policy was read could not be put on record", logger, () =>
      this.audit.policy(status.state, digestOf(status.file)),
    );
    this.#look();
    attempt("agents could not be published", logger, () => this.#online?.registry.publishAll());
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
