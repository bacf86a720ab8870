import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { boundLog, mxError } from "@mx-agent/base";
import { sessionOfToken } from "./accounts/tokens.ts";
import { UserInteractiveAuth } from "./accounts/uia.ts";
import {
  addUserTo,
  createRegistrationTokenIn,
  type HomeserverUser,
  listUsersOf,
  type RegistrationTokenOptions,
} from "./admin.ts";
import type { App } from "./app.ts";
import { RateLimiter } from "./http/limits.ts";
import type { Session } from "./http/request.ts";
import { Router } from "./http/router.ts";
import { createHttpServer, type Logger } from "./http/server.ts";
import { MediaFiles } from "./media/files.ts";
import { type HomeserverOptions, type Settings, settingsOf } from "./options.ts";
import { PushRules } from "./rooms/push-rules.ts";
import { allRoutes } from "./routes.ts";
import { logFile, removeRunning } from "./running.ts";
import { openStore, type Store } from "./store/index.ts";
import { lockDataDir } from "./store/lock.ts";
import { Notifier } from "./sync/notifier.ts";
import { Presence } from "./sync/presence.ts";
import { Typing } from "./sync/typing.ts";

/** A running homeserver. Whoever started it closes it. */
export interface Homeserver {
  /** The base URL for clients, `http://host:port`. */
  readonly url: string;
  readonly port: number;
  /** Answers what is under way, lets long polls go, and closes the store. */
  close(): Promise<void>;
  /** Makes an account; answers with its user id. MX_BAD_INPUT for a name that is taken or malformed. */
  addUser(name: string, password: string): Promise<string>;
  /** Makes a secret that lets somebody register; it is shown this once. */
  createRegistrationToken(options?: RegistrationTokenOptions): Promise<string>;
  listUsers(): HomeserverUser[];
}

/** Connections that wait to be accepted, for a machine's worth of clients that start at once. */
const BACKLOG = 4_096;
/** How long answers that are under way may take when the server closes. */
const CLOSE_GRACE_MS = 2_000;
const HOUSEKEEPING_MS = 60 * 60 * 1000;
/**
 * How long the transaction id of a to-device message is remembered. The specification names no time; an
 * event's id is remembered as long as its device, so that nothing is ever in a room twice.
 */
const TO_DEVICE_TRANSACTION_MS = 30 * 24 * 60 * 60 * 1000;
/** How long a device may come back with an expired token and a refresh token. */
const EXPIRED_TOKEN_MS = 90 * 24 * 60 * 60 * 1000;
/** How often at most the time of a device's last request is written down. */
const SEEN_EVERY_MS = 60_000;

/** Starts a homeserver; it answers when this resolves. MX_USAGE, MX_HOMESERVER_START, MX_STORE_NEWER. */
export async function startHomeserver(options: HomeserverOptions): Promise<Homeserver> {
  const { settings, logger } = settingsOf(options);
  const resources = new AsyncDisposableStack();
  try {
    const app = await openApp(options.dataDir, settings, logger, resources);
    const port = await listen(app, options.bind, resources);
    const host = options.bind.host.includes(":") ? `[${options.bind.host}]` : options.bind.host;
    return {
      url: `http://${host}:${port}`,
      port,
      close: () => resources.disposeAsync(),
      addUser: (name, password) => addUserTo(app.store, settings.serverName, name, password),
      createRegistrationToken: (tokenOptions) => createRegistrationTokenIn(app.store, tokenOptions),
      listUsers: () => listUsersOf(app.store),
    };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

/** Opens all that the server works on; `resources` closes it, in the reverse order. */
async function openApp(
  dataDir: string | null,
  settings: Settings,
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<App> {
  if (dataDir !== null) {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const lock = lockDataDir(dataDir);
    resources.defer(() => lock.release());
    // Of a server that was killed: whoever sees the lock must not take its file for ours.
    await removeRunning(dataDir);
  }
  const media = await MediaFiles.open(dataDir);
  resources.defer(() => media.close());
  const store = openStore(dataDir === null ? ":memory:" : join(dataDir, "homeserver.db"));
  resources.defer(() => store.db.close());
  keepName(store, settings.serverName);
  const now = () => Date.now();
  const tidy = () => {
    cleanUp(store, now());
    if (dataDir !== null) boundLog(logFile(dataDir));
  };
  tidy();
  const housekeeping = setInterval(tidy, HOUSEKEEPING_MS).unref();
  resources.defer(() => clearInterval(housekeeping));
  const notifier = new Notifier();
  const typing = new Typing(
    () => store.positions.next(),
    (roomId) => notifier.wake(store.rooms.joined(roomId)),
  );
  resources.defer(() => typing.stop());
  const pushRules = new PushRules(store.clientData);
  store.db.onReset(() => pushRules.forget(undefined));
  return {
    settings,
    store,
    pushRules,
    notifier,
    typing,
    presence: new Presence(now),
    uia: new UserInteractiveAuth(now),
    limiter: new RateLimiter(settings.rateLimits, now),
    media,
    logger,
    now,
  };
}

/** A server's name is in every id that it made: it stays what it was at the first start. */
function keepName(store: Store, name: string): void {
  const known = store.accounts.serverName();
  if (known === undefined) store.db.transaction(() => store.accounts.setServerName(name));
  else if (known !== name) {
    throw mxError("MX_HOMESERVER_START", {
      detail: `its data are those of a server named ${known}, not ${name}`,
    });
  }
}

/** Listens, and resolves with the port once clients can connect. */
async function listen(
  app: App,
  bind: HomeserverOptions["bind"],
  resources: AsyncDisposableStack,
): Promise<number> {
  const server = createHttpServer({
    router: new Router(allRoutes(app)),
    limiter: app.limiter,
    logger: app.logger,
    connections: app.settings.connections,
    behindProxy: app.settings.behindProxy,
    authenticate: authenticator(app),
    durable: () => app.store.db.durable(),
  });
  server.listen(bind.port, bind.host, BACKLOG);
  try {
    await once(server, "listening");
  } catch (error) {
    const detail = `cannot listen on ${bind.host}:${bind.port}: ${error instanceof Error ? error.message : String(error)}`;
    const hint = "name another address with --bind, as 127.0.0.1:0 for any free port";
    throw mxError("MX_HOMESERVER_START", { detail }, { hint });
  }
  resources.defer(async () => {
    const closed = once(server, "close");
    server.close();
    app.notifier.stop();
    server.closeIdleConnections();
    const force = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    await closed;
    clearTimeout(force);
  });
  return (server.address() as AddressInfo).port;
}

function cleanUp(store: Store, now: number): void {
  store.db.transaction(() => {
    store.clientData.deleteToDeviceTransactionsBefore(now - TO_DEVICE_TRANSACTION_MS);
    store.accounts.deleteTokensExpiredBefore(now - EXPIRED_TOKEN_MS);
  });
}

/** Looks tokens up, and notes now and then when and from where a device was seen. */
function authenticator(app: App): (token: string, ip: string) => Session {
  const seen = new Map<string, number>();
  return (token, ip) => {
    const session = sessionOfToken(app, token);
    const now = app.now();
    if (now - (seen.get(session.tokenHash) ?? 0) > SEEN_EVERY_MS) {
      if (seen.size > 10_000) seen.clear();
      seen.set(session.tokenHash, now);
      const { accounts, db } = app.store;
      db.transaction(() => accounts.seen(session.userId, session.deviceId, now, ip));
    }
    return session;
  };
}
