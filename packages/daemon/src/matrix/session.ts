import { setTimeout as sleep } from "node:timers/promises";
import { mxError } from "@mx-agent/base";
import { ClientEvent, MatrixClient } from "matrix-js-sdk/lib/client.js";
import { HttpApiEvent } from "matrix-js-sdk/lib/http-api/interface.js";
import { SyncState } from "matrix-js-sdk/lib/sync.js";
import type { Database } from "../state/database.ts";
import { InboxTable } from "../state/inbox.ts";
import { OutboxTable } from "../state/outbox.ts";
import { RoomTable } from "../state/rooms.ts";
import { Settings } from "../state/settings.ts";
import { SyncTable } from "../state/sync-store.ts";
import type { GroupListener, InboxListener, MatrixSession } from "./api.ts";
import { Backfill } from "./backfill.ts";
import { Changes } from "./changes.ts";
import { openCrypto } from "./crypto.ts";
import { CryptoGuard } from "./crypto-guard.ts";
import { onlyNews } from "./crypto-news.ts";
import { decryptor } from "./decrypt.ts";
import { Delivery } from "./delivery.ts";
import { encryptor, sealer } from "./encrypt.ts";
import { syncFilterOf } from "./filter.ts";
import { RateLimitGate } from "./gate.ts";
import { type GuardedFetchOptions, guardedFetch } from "./guarded-fetch.ts";
import { Health } from "./health.ts";
import { Intake } from "./intake.ts";
import { keysOf } from "./keys/keys.ts";
import { RecoveryKeyHolder } from "./keys/recovery-key.ts";
import { roomVerifications } from "./keys/room-verifications.ts";
import { waitForDevices } from "./keys/unknown-devices.ts";
import { outboxLink } from "./link.ts";
import { mediaOf } from "./media.ts";
import { cutNesting } from "./nesting.ts";
import { DurableOutbox } from "./outbox.ts";
import { ownDevice } from "./own-device.ts";
import { OwnEvents } from "./own-events.ts";
import { takeOver } from "./owner.ts";
import { keysPublished } from "./published.ts";
import { renewal } from "./renewal.ts";
import { RoomActions } from "./room-actions.ts";
import { RoomDirectory } from "./rooms.ts";
import { sdkLogger, silenceSdkConsole } from "./sdk-logger.ts";
import type { SyncBatch } from "./sync-response.ts";
import { DurableSyncStore } from "./sync-store.ts";
import { capTimeline } from "./timelines.ts";
import { transportOf } from "./transport.ts";
import {
  type Alarm,
  type Clock,
  type Credentials,
  describe,
  type Fetch,
  isRecord,
  type Logger,
  type RenewedTokens,
} from "./types.ts";

export interface SessionOptions {
  db: Database;
  credentials: Credentials;
  /** Directory of the crypto stores, one for each device; made when it is missing. */
  cryptoDir: string;
  /** Of mx-agent, kept in the crypto store. */
  version: string;
  fetch: Fetch;
  clock: Clock;
  logger: Logger;
  /** Called for each event of the inbox, one after another. */
  onEvent: InboxListener;
  /** Called instead for requests that follow one another; without it they come one by one. */
  onRequests?: GroupListener;
  /** The access token was renewed: makes that durable before it returns. */
  onTokens: (tokens: RenewedTokens) => void;
  /** The homeserver does not know our token any more. Soft: log in again with the same device. Called once. */
  onLoggedOut: (soft: boolean, detail: string) => void;
  /** Users of a room who get no keys of what we send there; by default nobody. */
  revokedIn?: (room_id: string) => ReadonlySet<string>;
  /** For the limit of a verification: calls `late` after so many milliseconds; a timer, where it is missing. */
  alarm?: Alarm;
  /** State could not be written: the process must end, and the next start recovers. */
  onFatal: (error: unknown) => void;
}

const INITIAL_SYNC_LIMIT = 20;
const REQUEST_TIMEOUT_MS = 60_000;
const CRYPTO_RETRY_MS = 5_000;
/** How long closing waits for a /sync that is being worked on, milliseconds. */
const SYNC_ENDS_WITHIN_MS = 2_000;

/**
 * Opens a session on stored credentials; it syncs until it is closed, and goes on where the last one was.
 * Needs no network: `ready` resolves when the homeserver has been reached.
 */
export async function openSession(options: SessionOptions): Promise<MatrixSession> {
  const { db, credentials, clock, logger } = options;
  const { user_id, device_id, homeserver } = credentials;
  const account = { user_id, device_id, homeserver };
  const tables = {
    sync: new SyncTable(db),
    rooms: new RoomTable(db),
    inbox: new InboxTable(db),
    outbox: new OutboxTable(db),
  };
  takeOver(db, tables, account, options);

  const closed = new AbortController();
  const changes = new Changes();
  const gate = new RateLimitGate();
  const health = new Health(gate, clock);
  const intake = new Intake({
    db,
    ...tables,
    clock,
    user_id,
    onPassing: (event) => delivery.pass(event),
  });
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => undefined);
  let publishing: Promise<void> | undefined;
  let ended: Promise<unknown> | undefined;
  let skew: number | null = null;
  let durable = () => Promise.resolve();
  let seal: GuardedFetchOptions["seal"] = () => Promise.reject(new Error("encryption has not started"));
  /** While a /sync that has come is worked on. */
  let syncing: PromiseWithResolvers<void> | undefined;

  const guarded = guardedFetch({
    fetch: options.fetch,
    gate,
    clock,
    isEncrypted: (room_id) => tables.rooms.isEncrypted(room_id),
    seal: (room_id, type, content) => seal(room_id, type, content),
    onSync: (body) => {
      const wrong = intake.read(body);
      if (wrong === undefined) syncing = Promise.withResolvers();
      return wrong;
    },
    durable: () => durable(),
    onClockSkew: (ms) => {
      skew = ms;
    },
  });

  const holder = new RecoveryKeyHolder();
  silenceSdkConsole();
  const client = new MatrixClient({
    baseUrl: homeserver,
    userId: user_id,
    deviceId: device_id,
    accessToken: credentials.access_token,
    ...renewal(options),
    localTimeoutMs: REQUEST_TIMEOUT_MS,
    disableVoip: true,
    logger: sdkLogger(logger),
    fetchFn: guarded,
    cryptoCallbacks: holder.callbacks,
    store: new DurableSyncStore({
      ...tables,
      commit: (next_batch) => commit(next_batch).finally(() => syncing?.resolve()),
    }),
  });

  // Calls are none of our business, and it would keep an object for each room.
  client.matrixRTC.start = () => undefined;

  const { crypto, store } = await openCrypto({
    client,
    dir: options.cryptoDir,
    credentials,
    sync: tables.sync,
    version: options.version,
  });
  waitForDevices(client, crypto, logger);
  onlyNews(crypto);
  durable = () => store.durable();
  const guard = new CryptoGuard(crypto, store, logger);
  const own = new OwnEvents(user_id);
  const delivery = new Delivery({
    inbox: tables.inbox,
    onEvent: options.onEvent,
    onRequests: options.onRequests,
    decrypt: decryptor(crypto, { own, account }, () => delivery.keysArrived()),
    onOther: roomVerifications({ crypto, account, logger }),
    logger,
  });
  const backfill = new Backfill({
    client,
    sync: tables.sync,
    intake,
    logger,
    onStored: () => delivery.kick(),
  });
  const actions = new RoomActions({
    client,
    table: tables.rooms,
    user_id,
    homeserver,
    clock,
    changes,
    ready: () => ready.promise,
    signal: closed.signal,
  });
  const keys = keysOf({
    client,
    crypto,
    account,
    settings: new Settings(db),
    holder,
    ready: () => ready.promise,
    revokedIn: options.revokedIn ?? (() => new Set()),
    logger,
    ...(options.alarm && { alarm: options.alarm }),
  });
  const { rooms } = tables;
  const encryption = { client, crypto, user_id, rooms, recipients: keys.recipients, durable, clock, own };
  seal = sealer(encryption);
  const outbox = new DurableOutbox({
    db,
    table: tables.outbox,
    device_id,
    homeserver,
    clock,
    logger,
    link: outboxLink({
      client,
      rooms: tables.rooms,
      gate,
      clock,
      changes,
      ready: () => ready.promise,
      encrypt: encryptor(encryption),
      own: ownDevice({ crypto, account, rooms, intake, onStored: () => delivery.kick() }),
    }),
  });

  /** Called by the SDK when it is through with a /sync, and awaited before the next one. */
  async function commit(next_batch: string): Promise<void> {
    if (health.ended) return;
    const failure = guard.takeFailure();
    if (failure !== undefined) {
      logger.error({ error: failure }, "encryption could not work on a sync; it is asked for again");
      health.degraded(failure);
      await sleep(CRYPTO_RETRY_MS, undefined, { signal: closed.signal }).catch(() => undefined);
      return;
    }
    let batch: SyncBatch;
    try {
      batch = await intake.commit(next_batch);
    } catch (error) {
      stop("stopped", `state could not be written: ${describe(error)}`);
      options.onFatal(error);
      throw error;
    }
    for (const { room_id } of batch.joined) capTimeline(client, room_id);
    health.synced();
    publishing ??= keysPublished({ client, account, changes, signal: closed.signal, logger }).then(
      ready.resolve,
    );
    changes.announce();
    delivery.kick();
    backfill.kick();
  }

  /** Ends all that talks to the homeserver. The tables keep what the next session goes on with. */
  function stop(state: "stopped" | "logged_out", detail: string): void {
    health.end(state, detail);
    closed.abort(mxError("MX_NOT_RUNNING", { what: "the Matrix session", hint: detail }));
    ready.reject(closed.signal.reason);
    keys.recipients.close();
    client.stopClient();
    client.http.abort();
    ended ??= Promise.all([delivery.close(), backfill.close(), outbox.close()]);
  }

  /** The SDK gets a new token where it can, and says that we are logged out where it cannot. */
  const renew = () =>
    client.whoami().then(
      () => true,
      () => false,
    );

  client.on(ClientEvent.ReceivedToDeviceMessage, ({ message, encryptionInfo }) => {
    intake.addToDevice(cutNesting(message), transportOf(crypto, message.sender, encryptionInfo, logger));
  });
  client.on(ClientEvent.Sync, (state, _previous, data) => {
    if (state !== SyncState.Error && state !== SyncState.Reconnecting) return;
    const detail = describe(data?.error);
    logger.warn({ error: detail }, "sync failed; trying again");
    health.degraded(detail);
  });
  client.on(ClientEvent.SyncUnexpectedError, (error) => {
    logger.error({ error: describe(error) }, "the SDK could not work on all of a sync");
  });
  client.on(HttpApiEvent.SessionLoggedOut, (error) => {
    if (health.ended) return;
    const soft = isRecord(error.data) && error.data.soft_logout === true;
    const detail = error.error ?? "the access token is not valid any more";
    logger.error({ soft, detail }, "the homeserver has logged this device out");
    stop("logged_out", detail);
    options.onLoggedOut(soft, detail);
  });

  const started = client
    .startClient({
      filter: syncFilterOf(user_id),
      initialSyncLimit: INITIAL_SYNC_LIMIT,
      disablePresence: true,
      lazyLoadMembers: false,
    })
    .catch((error: unknown) => health.degraded(describe(error)));
  // Not before the caller has the session in its hands.
  setImmediate(() => delivery.kick());

  return {
    account,
    rooms: new RoomDirectory({ table: tables.rooms, lookUpAlias: (alias) => actions.lookUpAlias(alias) }),
    outbox,
    keys,
    media: mediaOf({
      fetch: guarded,
      homeserver,
      token: () => client.getAccessToken() ?? "",
      renew,
      isJoined: (room_id) => rooms.get(room_id)?.membership === "join",
      isEncrypted: (room_id) => rooms.isEncrypted(room_id),
    }),
    renew,
    health: () => ({ ...health.now(), notes: backfill.notes() }),
    undecryptable: () => tables.inbox.count("undecryptable"),
    ready: () => ready.promise,
    createRoom: (room) => actions.create(room),
    join: (room, via) => actions.join(room, via),
    invite: (room_id, user) => actions.invite(room_id, user),
    remove: (room_id, user) => actions.remove(room_id, user),
    leave: (room_id) => actions.leave(room_id),
    setPowerLevel: (room_id, user, level) => actions.setPowerLevel(room_id, user, level),
    sendSealed: (user_id, device_id, type, content) => actions.sendSealed(user_id, device_id, type, content),
    setState: (room_id, type, state_key, content) => actions.setState(room_id, type, state_key, content),
    changed: (timeout_ms) => changes.next(closed.signal, timeout_ms),
    clockSkew: () => skew,
    async close() {
      // What is decrypted by half would be lost.
      await Promise.race([syncing?.promise, sleep(SYNC_ENDS_WITHIN_MS, undefined, { ref: false })]);
      await store.durable();
      stop("stopped", "closed");
      await Promise.all([started, publishing, ended]);
      await store.close();
    },
  };
}
