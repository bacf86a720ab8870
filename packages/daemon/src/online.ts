/** What exists while the daemon is logged in: the session, and every part of the pipeline on top of it. */

import { setTimeout as pause } from "node:timers/promises";
import { MxError, version } from "@mx-agent/base";
import type { Target } from "@mx-agent/ipc";
import type { Machine } from "@mx-agent/policy";
import type { RunnerClient } from "@mx-agent/runner";
import type { Logger } from "pino";
import { AgentDirectory } from "./agents/directory.ts";
import { PeerStates } from "./agents/peer-states.ts";
import { Pings } from "./agents/pings.ts";
import { AgentRegistry } from "./agents/registry.ts";
import { attempt } from "./attempt.ts";
import type { Auditor } from "./audit-entries.ts";
import { Identity } from "./identity.ts";
import { Guest } from "./invite/guest.ts";
import { Invites } from "./invite/invites.ts";
import type { IncomingEvent, MatrixSession } from "./matrix/api.ts";
import { openSession } from "./matrix/session.ts";
import type { Credentials, RenewedTokens } from "./matrix/types.ts";
import type { PolicyFile } from "./policy-file.ts";
import { EarlyRefusals } from "./receive/refusals.ts";
import { Router } from "./receive/router.ts";
import { Caller } from "./request/caller.ts";
import { type ResolvedTarget, resolveTarget } from "./request/target.ts";
import { Executor } from "./run/executor.ts";
import { executorWorld } from "./run/executor-world.ts";
import { Queries } from "./run/queries.ts";
import { Runs } from "./run/runs.ts";
import type { SpecContext } from "./run/spec.ts";
import { earlierSelf, signingKeyOf } from "./signing-keys.ts";
import type { Tables } from "./state/tables.ts";
import { publishedRotation } from "./trust/rotation.ts";
import { Workspaces } from "./workspace/workspaces.ts";

/** How often holds are looked at, and early refusals summed up. */
const HOUSEKEEPING_MS = 2_000;
const SUMMARY_MS = 60_000;
/** How often the runner is asked again at a start, while another one takes the place of one that died; then it goes without. */
const ADOPT_TRIES = 10;
const ADOPT_AGAIN_MS = 200;
const ADOPT_LATER_MS = 1_000;

export interface OnlineOptions {
  credentials: Credentials;
  tables: Tables;
  runner: RunnerClient;
  policy: PolicyFile;
  machine: Machine;
  audit: Auditor;
  auditHead(): { seq: number; sha256: string } | undefined;
  run: SpecContext & { indexDir: string };
  keysDir: string;
  cryptoDir: string;
  logger: Logger;
  now(): number;
  fetch: typeof globalThis.fetch;
  /** A key counts no more, since the one that it announced is in use. */
  onSuperseded(): void;
  onTokens(tokens: RenewedTokens): void;
  onLoggedOut(soft: boolean, detail: string): void;
  onFatal(error: unknown): void;
}

export class Online {
  readonly session: MatrixSession;
  readonly identity: Identity;
  readonly executor: Executor;
  readonly runs: Runs;
  readonly caller: Caller;
  readonly pings: Pings;
  readonly registry: AgentRegistry;
  readonly peers: PeerStates;
  readonly directory: AgentDirectory;
  readonly workspaces: Workspaces;
  readonly invites: Invites;
  readonly guest: Guest;
  readonly #tables: Tables;
  readonly #logger: Logger;
  #closed = false;
  /** Until the runner is asked again. */
  #adopting: NodeJS.Timeout | undefined;
  /** Puts on record what was refused before its signature was verified. */
  readonly #sumUp: () => void;
  readonly #timers: NodeJS.Timeout[] = [];

  private constructor(options: OnlineOptions, session: MatrixSession, identity: Identity) {
    const { tables, audit, now, policy, logger, machine, runner } = options;
    const { rooms, outbox } = session;
    const early = new EarlyRefusals(now, tables.settings);
    const heard = new Map<string, number>();
    this.#sumUp = () => early.sumUp((summary) => audit.early(summary));
    this.session = session;
    this.identity = identity;
    this.#tables = tables;
    this.#logger = logger;
    const world = executorWorld({ ...tables, policy, machine, audit, early, identity, rooms, outbox, now });
    this.runs = new Runs(world, runner, options.run, logger);
    this.executor = new Executor(world, this.runs, logger);
    this.caller = new Caller({
      ...tables,
      identity,
      rooms,
      outbox,
      media: session.media,
      indexDir: options.run.indexDir,
      onUnanswered: (room_id) => session.keys.recipients.startAnew(room_id),
      now,
    });
    this.pings = new Pings({ ...tables, identity, outbox, rooms, now });
    this.registry = new AgentRegistry({
      ...tables,
      identity,
      rooms,
      outbox,
      policy,
      running: () => this.runs.running,
      auditHead: options.auditHead,
      rotation: () => publishedRotation(tables.settings, identity.account.user_id),
      onTakenOver: (agent, device_id) => {
        audit.takenOver(agent, device_id);
        logger.warn({ ...agent, device_id }, "another daemon of this user answers for an agent of ours now");
      },
      now,
    });
    this.directory = new AgentDirectory({
      ...tables,
      rooms,
      identity,
      lastHeard: (room_id, agent_id) => heard.get(`${room_id} ${agent_id}`),
      now,
    });
    this.peers = new PeerStates({
      ...tables,
      rooms,
      onSuperseded: (entry) => {
        audit.trust("superseded", entry);
        options.onSuperseded();
      },
      onContradiction: (room_id, agent_id, what) => {
        audit.contradiction(room_id, agent_id, what);
        logger.error({ room_id, agent_id, what }, "another daemon's audit log is not what it was");
      },
      now,
    });
    this.workspaces = new Workspaces(session, tables.settings, (room_id) =>
      session.keys.recipients.keysTo(room_id),
    );
    this.invites = new Invites({ tables, identity, session, audit, logger, now });
    this.guest = new Guest({ tables, identity, session, workspaces: this.workspaces, audit, now });
    const every = (ms: number, what: string, work: () => void) =>
      this.#timers.push(setInterval(() => attempt(what, logger, work), ms).unref());
    every(HOUSEKEEPING_MS, "holds could not be looked at", () => this.executor.expireHeld());
    every(SUMMARY_MS, "refusals could not be summed up", () => this.#sumUp());
    const router = new Router({
      ...tables,
      executor: this.executor,
      runs: this.runs,
      queries: new Queries(world, this.runs),
      caller: this.caller,
      pings: this.pings,
      registry: this.registry,
      invites: this.invites,
      guest: this.guest,
      peers: this.peers,
      identity,
      rooms,
      heard: (room_id, agent_id, ts) => heard.set(`${room_id} ${agent_id}`, ts),
      logger,
    });
    this.route = (event) => router.onEvent(event);
  }

  readonly route: (event: IncomingEvent) => Promise<void>;

  /** Opens the session and takes up what the last daemon left: runs, admitted requests, the outbox. */
  static async open(options: OnlineOptions): Promise<Online> {
    const { credentials, tables, logger, now } = options;
    const assembled = Promise.withResolvers<Online>();
    const session = await openSession({
      db: tables.db,
      credentials,
      cryptoDir: options.cryptoDir,
      version: version(),
      fetch: options.fetch,
      clock: now,
      logger,
      revokedIn: (room_id) => tables.trust.revokedUsers(room_id),
      onEvent: async (event) => (await assembled.promise).route(event),
      onRequests: async (events) => (await assembled.promise).executor.onRequests(events),
      onTokens: options.onTokens,
      onLoggedOut: options.onLoggedOut,
      onFatal: options.onFatal,
    });
    let online: Online | undefined;
    try {
      const identity = new Identity(
        signingKeyOf(options.keysDir, credentials.user_id),
        session.account,
        earlierSelf(tables.settings, options.keysDir, session.account.device_id),
      );
      online = new Online(options, session, identity);
      await online.#adopt();
      online.invites.resume();
    } catch (error) {
      // A session that nobody has would go on, with the store of its keys.
      const closed = (online ?? session).close();
      assembled.promise.catch(() => {});
      assembled.reject(error);
      await closed;
      throw error;
    }
    assembled.resolve(online);
    const { registry, peers, caller } = online;
    session.ready().then(
      () => {
        registry.publishAll();
        peers.readAll();
        caller.askForAll();
      },
      () => {},
    );
    return online;
  }

  /** Whom a request goes to, and that this machine may write there. MX_UNSIGNED_DEVICE, MX_UNREADABLE, and as `resolveTarget`. */
  async target(target: Target): Promise<ResolvedTarget> {
    const parts = { ...this.#tables, rooms: this.session.rooms, identity: this.identity };
    const resolved = await resolveTarget(target, parts);
    const { rooms, keys } = this.session;
    if (!rooms.get(resolved.room_id)?.encrypted) return resolved;
    await keys.recipients.requireOwnSignature(resolved.room_id);
    await keys.recipients.requireReader(resolved.room_id, resolved.user_id);
    return resolved;
  }

  /** Runs are adopted from the runner. One that has died just now is replaced in a moment, and that one asked. */
  async #adopt(tries = ADOPT_TRIES): Promise<void> {
    for (let left = tries - 1; !this.#closed; left--) {
      try {
        await this.runs.adopt();
        return await this.executor.resumeAdmitted();
      } catch (error) {
        if (!(error instanceof MxError && error.code === "MX_NOT_RUNNING")) throw error;
      }
      // Messages, a person at the terminal and other agents need no runner.
      if (left <= 0) return this.#adoptLater();
      await pause(ADOPT_AGAIN_MS);
    }
  }

  #adoptLater(): void {
    if (this.#adopting === undefined)
      this.#logger.error({}, "there is no runner; what it runs is taken up once there is");
    this.#adopting = setTimeout(() => {
      this.#adopt(1).catch((error: unknown) =>
        this.#logger.error({ err: error }, "the runs could not be taken up"),
      );
    }, ADOPT_LATER_MS).unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#adopting);
    for (const timer of this.#timers) clearInterval(timer);
    this.registry.close();
    this.pings.close();
    this.executor.close();
    this.runs.close();
    this.caller.close();
    await Promise.all([this.invites.close(), this.session.close()]);
    attempt("refusals could not be summed up", this.#logger, () => this.#sumUp());
  }
}
