import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { mxError } from "@mx-agent/base";
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
import { createHttpServer } from "./http/server.ts";
import { MediaFiles } from "./media/files.ts";
import { type HomeserverOptions, settingsOf } from "./options.ts";
import { PushRules } from "./rooms/push-rules.ts";
import { allRoutes } from "./routes.ts";
import { openStore, type Store } from "./store/index.ts";
import { type DataLock, lockDataDir } from "./store/lock.ts";
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

const HOUSEKEEPING_MS = 60 * 60 * 1000;
/** How long a transaction id is remembered. */
const TRANSACTION_LIFETIME_MS = 7 * 24 * 60 * 60 * 1000;
/** How long a device may come back with an expired token and a refresh token. */
const EXPIRED_TOKEN_MS = 90 * 24 * 60 * 60 * 1000;
/** How often at most the time of a device's last request is written down. */
const SEEN_EVERY_MS = 60_000;

/** Starts a homeserver; it answers when this resolves. */
export async function startHomeserver(options: HomeserverOptions): Promise<Homeserver> {
  const { settings, logger } = settingsOf(options);
  const { dataDir } = options;
  let lock: DataLock | undefined;
  if (dataDir !== null) {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    lock = lockDataDir(dataDir);
  }
  const store = openStore(dataDir === null ? ":memory:" : join(dataDir, "homeserver.db"));
  const now = () => Date.now();
  const notifier = new Notifier();
  const typing = new Typing(
    () => store.positions.next(),
    (roomId) => notifier.wake(store.rooms.joined(roomId)),
  );
  const media = await MediaFiles.open(dataDir);
  const limiter = new RateLimiter(settings.rateLimits, now);
  const uia = new UserInteractiveAuth(now);
  const presence = new Presence(now);
  const pushRules = new PushRules(store.clientData);
  store.db.onReset(() => pushRules.forget(undefined));
  const app: App = {
    settings,
    store,
    pushRules,
    notifier,
    typing,
    presence,
    uia,
    limiter,
    media,
    logger,
    now,
  };
  const server = createHttpServer({
    router: new Router(allRoutes(app)),
    limiter,
    logger,
    authenticate: authenticator(app),
    durable: () => store.db.durable(),
  });
  const housekeeping = setInterval(() => cleanUp(store, now()), HOUSEKEEPING_MS).unref();
  const close = async () => {
    clearInterval(housekeeping);
    notifier.stop();
    typing.stop();
    if (server.listening) {
      const closed = once(server, "close");
      server.close();
      server.closeIdleConnections();
      const force = setTimeout(() => server.closeAllConnections(), 2_000);
      await closed;
      clearTimeout(force);
    }
    store.db.close();
    await media.close();
    lock?.release();
  };
  try {
    server.listen(options.bind.port, options.bind.host);
    await once(server, "listening");
  } catch (error) {
    await close();
    throw mxError("MX_HOMESERVER_START", {
      detail: `cannot listen on ${options.bind.host}:${options.bind.port}: ${(error as Error).message}`,
    });
  }
  const { port } = server.address() as AddressInfo;
  const host = options.bind.host.includes(":") ? `[${options.bind.host}]` : options.bind.host;
  return {
    url: `http://${host}:${port}`,
    port,
    close,
    addUser: (name, password) => addUserTo(store, settings.serverName, name, password),
    createRegistrationToken: (tokenOptions) => createRegistrationTokenIn(store, tokenOptions),
    listUsers: () => listUsersOf(store),
  };
}

function cleanUp(store: Store, now: number): void {
  store.db.transaction(() => {
    store.clientData.deleteTransactionsBefore(now - TRANSACTION_LIFETIME_MS);
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
